#!/usr/bin/env bash
# A SLURM of one node on this machine's loopback, and the miniature grid through it. As root, with
# Debian's slurm-wlm and munge (apt install slurm-wlm munge) and the extra `slurm` of this package.
#   tests/slurm/run.sh [FOLDER]
# Starts munged, slurmctld and slurmd in FOLDER, runs cra and ng+ with two seeds, cancels one
# training while it runs, calls again, and asks for the same products as a run without SLURM. Ends
# what it has started, whatever happens. Exit status 0 if all of that held. With a FOLDER that an
# earlier call has left, it goes on from what is there.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
place=$(realpath -m "${1:-$(mktemp -d)}")
python=${PYTHON:-python}
for tool in munged slurmctld slurmd sbatch scancel; do
    command -v "$tool" >/dev/null || { echo "no $tool: apt install slurm-wlm munge" >&2; exit 2; }
done
"$python" -c "import snakemake_executor_plugin_slurm" 2>/dev/null ||
    { echo "no executor: pip install 'cra-lib[slurm]'" >&2; exit 2; }

mkdir -p "$place"/{state,spool,run}
cores=$(env -u OMP_NUM_THREADS nproc)
memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.8)}' /proc/meminfo)
cat >"$place/slurm.conf" <<CONF
ClusterName=loopback
SlurmctldHost=$(hostname -s)(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$place/run/munge.socket
SlurmUser=root
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/run/slurmctld.pid
SlurmdPidFile=$place/run/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
JobCompType=jobcomp/none
# More processors than there are, so that several jobs are at work at once.
SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$((4 * cores)) RealMemory=$memory State=UNKNOWN
DefMemPerCPU=1500
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
# Jobs look for the configuration in its usual place: the executor takes SLURM_CONF from them.
[[ ! -e /etc/slurm/slurm.conf ]] || { echo "this machine has a SLURM of its own" >&2; exit 2; }
mkdir -p /etc/slurm
ln -s "$place/slurm.conf" /etc/slurm/slurm.conf
started=()
call=""
stop() {
    # The call first: what waits for jobs of a SLURM that is gone waits for ever.
    [[ -z $call ]] || { kill "$call" 2>/dev/null && wait "$call" || true; }
    scancel --user=root 2>/dev/null || true
    for _ in $(seq 20); do [[ -n $(squeue -h 2>/dev/null) ]] || break; sleep 1; done
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -f /etc/slurm/slurm.conf
}
trap stop EXIT
trap 'exit 143' TERM INT HUP

dd if=/dev/urandom of="$place/munge.key" bs=1024 count=1 status=none
chmod 400 "$place/munge.key"
munged --foreground --force --key-file "$place/munge.key" --socket "$place/run/munge.socket" \
    --pid-file "$place/run/munged.pid" --seed-file "$place/run/seed" \
    --log-file "$place/munged.log" & started+=($!)
sleep 2
slurmctld -D -c & started+=($!)
sleep 3
slurmd -D -c & started+=($!)
for _ in $(seq 30); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 1; done
sinfo

export PYTHONPATH=$source/tests/stress:$source
[[ -d $place/clone ]] || "$python" - "$place/clone" <<'PY'
import sys
from pathlib import Path
from miniature import make_clone
make_clone(Path(sys.argv[1]), variants=("cra", "ng+"))
PY
cd "$place/clone"
export CRA_ROOT=$place/clone PYTHONPATH=$place/clone
# This SLURM keeps no accounts, which the executor would ask by default. Options of the executor are
# Snakemake's own and come from a profile of Snakemake.
mkdir -p "$place/profile"
cat >"$place/profile/config.yaml" <<YAML
slurm-status-command: squeue
slurm-init-seconds-before-status-checks: 5
YAML
export SNAKEMAKE_PROFILE=$place/profile
reproduce=("$python" -m cra_lib reproduce --seeds 1,2 --cores "$cores")
echo "--- through SLURM, one training cancelled"
"${reproduce[@]}" --executor slurm & call=$!
for _ in $(seq 900); do
    victim=$(squeue -h -t RUNNING -o "%i %k" | awk '/train/ {print $1; exit}')
    [[ -n $victim ]] && break
    kill -0 "$call" 2>/dev/null || break
    sleep 1
done
[[ -n ${victim:-} ]] && { sleep 5; scancel --signal=KILL --full "$victim"; echo "cancelled job $victim"; }
status=0; wait "$call" || status=$?
call=""
echo "first call: exit $status"
[[ $status -ne 0 ]] || { echo "the cancelled job was not noticed" >&2; exit 1; }
echo "--- the second call completes it"
"${reproduce[@]}" --executor slurm & call=$!
wait "$call"
mv results/shapes results/through-slurm
echo "--- the same without SLURM"
unset SNAKEMAKE_PROFILE
"${reproduce[@]}" & call=$!
wait "$call"
call=""
for file in results/shapes/runs/*/seed*/predictions_test.jsonl; do
    cmp "$file" "${file/shapes/through-slurm}" && echo "same: $file"
done
echo "slurm: ok"
