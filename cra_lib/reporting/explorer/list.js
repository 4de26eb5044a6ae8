// Filters and the list of questions, of which only the rows in sight exist.

const ROW = 58; // pixels, as in the style
let shown = [], current = -1;

function outcomes(wanted, m, rule) {
  if (wanted === "unanswered") return (i) => answer(m, i) < 0;
  if (wanted === "disagree") {
    return (i) => methods.some((_, k) => answer(k, i) >= 0 && answer(k, i) !== answer(m, i));
  }
  const [right, grounded] = wanted.split(" ");
  return (i) =>
    answer(m, i) >= 0 &&
    isRight(m, i) === (right === "right") &&
    (!grounded || isGrounded(m, rule, i) === (grounded === "grounded"));
}

function order(found, how, m, rule) {
  if (!how) return found;
  const [name, way] = how.split(" ");
  const overlap = (i) => (span(m, rule, i) ? share(m, name, rule, i) : null);
  const value = name === "confidence" ? (i) => confidence(m, i) : overlap;
  const values = new Float64Array(count), sign = way === "up" ? 1 : -1;
  for (const i of found) {
    const own = value(i);
    values[i] = own === null ? Infinity : sign * own; // what has no value comes last either way
  }
  return found.sort((a, b) => (values[a] === values[b] ? a - b : values[a] - values[b]));
}

const chosenMethod = () => Number($("method").value);
const chosenRule = (m) => ruleOf(m, $("rule").value);

function filter() {
  const began = performance.now();
  const m = chosenMethod(), rule = chosenRule(m), outcome = $("outcome").value;
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [split, type] = ["split", "type"].map((id) => $(id).value);
  const fits = outcome ? outcomes(outcome, m, rule) : () => true;
  const found = [];
  for (let i = 0; i < count; i++) {
    if (split !== "" && all.split[i] !== Number(split)) continue;
    if (type !== "" && all.type[i] !== Number(type)) continue;
    if (words.every((word) => texts[i].includes(word)) && fits(i)) found.push(i);
  }
  shown = order(found, $("sort").value, m, rule);
  $("count").textContent = summary(m, rule);
  $("rows").style.height = `${shown.length * ROW}px`;
  $("list").scrollTop = 0;
  reveal(shown.indexOf(current));
  paint();
  performance.measure("filter", { start: began, end: performance.now() });
}

function summary(m, rule) {
  const size = shown.length.toLocaleString("en");
  const head = `${size} of ${count.toLocaleString("en")} questions`;
  if (!shown.length) return `${head}. No question fits: clear a filter.`;
  let right = 0, both = 0, overlap = 0;
  for (const i of shown) {
    right += isRight(m, i);
    both += isRight(m, i) && isGrounded(m, rule, i);
    overlap += rule && span(m, rule, i) ? share(m, "iou", rule, i) / WHOLE : 0;
  }
  const mean = (sum) => ((100 * sum) / shown.length).toFixed(1);
  const grounding = rule ? `, Acc@GQA ${mean(both)}, mIoU ${mean(overlap)} (${rule})` : "";
  return `${head}. ${methods[m].label} on these: Acc@QA ${mean(right)}${grounding}.`;
}

function paint() {
  const list = $("list"), m = chosenMethod(), rule = chosenRule(m);
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let place = first; place < last; place++) rows.push(option(place, m, rule));
  $("rows").replaceChildren(...rows);
  const chosen = shown.indexOf(current);
  const isThere = chosen >= first && chosen < last;
  if (isThere) list.setAttribute("aria-activedescendant", `option${chosen}`);
  else list.removeAttribute("aria-activedescendant");
}

function option(place, m, rule) {
  const i = shown[place];
  const overlap = (name) => fraction(share(m, name, rule, i));
  const numbers = rule ? ` · IoU ${overlap("iou")} · IoP ${overlap("iop")}` : "";
  const meta = [verdict(m, i), `${numbers} · ${typeOf(i)} · ${names[i]}`];
  const attributes = {
    role: "option",
    id: `option${place}`,
    "aria-selected": String(i === current),
    "aria-setsize": shown.length,
    "aria-posinset": place + 1,
  };
  const lines = [make("span", {}, all.text[i]), make("span", { class: "meta" }, ...meta)];
  const row = make("div", attributes, ...lines);
  row.style.top = `${place * ROW}px`;
  row.addEventListener("click", () => show(i));
  return row;
}

function verdict(m, i) {
  if (answer(m, i) < 0) return make("b", {}, "not answered");
  if (isRight(m, i)) return make("b", { class: "good" }, "✓ right");
  return make("b", { class: "bad" }, "✗ wrong");
}

function reveal(place) {
  const list = $("list");
  if (place < 0) return;
  if (place * ROW < list.scrollTop) list.scrollTop = place * ROW;
  const below = (place + 1) * ROW - list.clientHeight;
  if (below > list.scrollTop) list.scrollTop = below;
}

function move(steps) {
  if (!shown.length) return;
  const place = shown.indexOf(current);
  const next = place < 0 ? 0 : Math.max(0, Math.min(shown.length - 1, place + steps));
  show(shown[next]);
}

const screenful = () => Math.max(1, Math.floor($("list").clientHeight / ROW) - 1);
const KEYS = {
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  PageDown: () => move(screenful()),
  PageUp: () => move(-screenful()),
  Home: () => move(-count),
  End: () => move(count),
  Enter: () => $("detail").focus(),
};
