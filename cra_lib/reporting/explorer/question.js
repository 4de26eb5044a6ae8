// One question: its video, the timeline of annotation and methods, its choices; then the start.

let player = null, stopAt = Infinity;

function show(i) {
  current = i;
  reveal(shown.indexOf(i));
  paint();
  history.replaceState(null, "", `#${encodeURIComponent(linkName(i))}`);
  document.title = `${names[i]}: ${data.title}`;
  // The screen first: the rest has buttons only where there is something to play.
  const top = make("div", { class: "top" }, screen(i), choices(i));
  $("detail").replaceChildren(heading(i), top, timeline(i, axisEnd(i)));
}

function axisEnd(i) {
  const ends = all.segments[i].map((pair) => pair[1]);
  methods.forEach((method, m) => {
    for (const rule of Object.keys(method.spans)) ends.push(span(m, rule, i)?.[1] ?? 0);
  });
  return Math.max(durationOf(i), ...ends, 0.1);
}

const evidence = (i) => all.segments[i].map(interval).join(", ");

function heading(i) {
  const right = all.answer[i] < 0 ? "not public" : all.choices[i][all.answer[i]];
  const facts = `${names[i]} · ${splitOf(i)} · type ${typeOf(i)} · ${seconds(durationOf(i))}`;
  const link = { href: `#${encodeURIComponent(linkName(i))}` };
  return make(
    "div", {},
    make("h2", {}, all.text[i]),
    make("p", {}, "Right answer: ", make("b", {}, right), ` · evidence ${evidence(i)}`),
    make(
      "div", { class: "tools" },
      stepButton("← Previous", "previous", -1),
      stepButton("Next →", "next", 1),
      make("a", link, "Link to this question"),
      make("span", { class: "soft" }, facts),
    ),
  );
}

function stepButton(label, id, steps) {
  const button = make("button", { type: "button", id }, label);
  button.addEventListener("click", () => {
    move(steps);
    $(id).focus(); // the button was made anew
  });
  return button;
}

function screen(i) {
  const box = make("div"), address = data.addresses[all.video[i]];
  player = null;
  const absent = () => {
    player = null;
    const where = `The video cannot be played from ${address}.`;
    const why = address ? where : "No video was found for this page.";
    const instead = data.strips[all.video[i]] ? "Its frames are below." : "Its timeline is below.";
    box.replaceChildren(make("p", { class: "soft", id: "absent" }, `${why} ${instead}`));
    for (const button of document.querySelectorAll(".lane button")) button.disabled = true;
  };
  if (!address) {
    absent();
    return box;
  }
  const label = `Video ${videoOf(i)}`;
  const video = make("video", { controls: "", preload: "metadata", "aria-label": label });
  video.playsInline = true;
  video.addEventListener("loadedmetadata", () => {
    video.currentTime = Math.max(0, Math.min(all.segments[i][0][0], video.duration));
  });
  video.addEventListener("error", () => {
    if (video === player) absent();
  });
  video.addEventListener("timeupdate", () => {
    if (video.currentTime >= stopAt) {
      video.pause();
      stopAt = Infinity;
    }
    playhead(video.currentTime);
  });
  video.src = encodePath(address);
  box.append(video);
  player = video;
  stopAt = Infinity;
  return box;
}

function playhead(time) {
  for (const line of document.querySelectorAll("svg .head")) {
    const x = (1000 * time) / Number(line.dataset.length);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
}

function playButton(ends, what) {
  const button = make("button", { type: "button", "aria-label": `Play ${what}` }, "▶ play");
  button.addEventListener("click", () => {
    if (!player) return;
    stopAt = ends[1];
    player.currentTime = Math.max(0, ends[0]);
    player.play().catch(() => {});
  });
  return button;
}

function timeline(i, length) {
  const head = make("p", {}, make("span", { class: "name" }, "Annotated evidence"), evidence(i));
  if (player) {
    for (const ends of all.segments[i]) {
      head.append(playButton(ends, `the evidence, ${interval(ends)}`));
    }
  }
  const marks = make("div", { class: "axis", "aria-hidden": "true" });
  for (let part = 0; part <= 4; part++) {
    marks.append(make("span", {}, seconds((part * length) / 4)));
  }
  const bar = canvas(i, length, 18, `Annotated evidence: ${evidence(i)}`);
  return make(
    "section", { "aria-labelledby": "timeline" },
    make("h3", { id: "timeline" }, "Timeline"),
    legend(),
    strip(i, length),
    make("div", { class: "lane truth" }, head, bar),
    marks,
    ...methods.map((_, m) => lane(m, i, length)),
  );
}

function strip(i, length) {
  const address = data.strips[all.video[i]];
  if (!address) return "";
  const alt = "Eight frames of the video, evenly spread";
  const picture = make("img", { class: "strip", src: encodePath(address), alt });
  picture.style.width = `${(100 * durationOf(i)) / length}%`;
  picture.addEventListener("error", () => picture.remove());
  return picture;
}

function legend() {
  const sample = (name, attributes) =>
    draw("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, draw(name, attributes));
  const line = (kind) => sample("path", { d: "M0 6H26", class: kind, stroke: "currentColor" });
  const entries = [
    [sample("rect", { width: 26, height: 12, class: "evidence" }), "annotated evidence"],
    [sample("rect", { y: 3, width: 26, height: 7, fill: "currentColor" }), "predicted interval"],
    [line("smooth"), "frame weights, smoothed"],
    [line("raw"), "before smoothing"],
  ];
  return make("div", { class: "key" }, ...entries.map((entry) => make("span", {}, ...entry)));
}

function canvas(i, length, height, label, ...shapes) {
  const x = (time) => (1000 * time) / length;
  const size = { viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none" };
  const picture = draw("svg", { ...size, role: "img", "aria-label": label });
  for (const [start, end] of all.segments[i]) {
    const from = x(Math.max(0, start)), width = Math.max(2, x(end) - from);
    picture.append(draw("rect", { x: from, width, height, class: "evidence" }));
  }
  const head = { x1: -9, x2: -9, y1: 0, y2: height, class: "head", "data-length": length };
  picture.append(...shapes, draw("line", head));
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    if (!player) return;
    stopAt = Infinity;
    player.currentTime = (length * (event.clientX - box.left)) / box.width;
  });
  return picture;
}

function lane(m, i, length) {
  const method = methods[m], rule = chosenRule(m), ends = span(m, rule, i);
  const overlap = (name, by) => fraction(share(m, name, by, i));
  const swatch = make("span", { class: "swatch" });
  swatch.style.background = method.colour;
  const name = make("span", { class: "name", title: method.note }, swatch, method.label);
  const head = make("p", {}, name, verdict(m, i));
  if (answer(m, i) >= 0) head.append(make("span", {}, all.choices[i][answer(m, i)]));
  if (rule) {
    const scores = ends ? `, IoU ${overlap("iou", rule)}, IoP ${overlap("iop", rule)}` : "";
    head.append(make("span", {}, `${rule}: ${interval(ends)}${scores}`));
  }
  if (player && ends) head.append(playButton(ends, `the interval of ${method.label}`));
  const shapes = curves(m, i, length);
  if (ends) {
    const x = (1000 * ends[0]) / length, width = Math.max(3, (1000 * ends[1]) / length - x);
    shapes.unshift(draw("rect", { x, y: 52, width, height: 8, fill: method.colour }));
  }
  const others = Object.keys(method.spans).filter((by) => by !== rule);
  const lines = others.map((by) => `${by}: ${interval(span(m, by, i))}, IoU ${overlap("iou", by)}`);
  return make(
    "div", { class: m === chosenMethod() ? "lane chosen" : "lane" },
    head,
    canvas(i, length, 60, spoken(m, i, ends), ...shapes),
    others.length ? make("p", { class: "soft" }, lines.join(" · ")) : "",
  );
}

function curves(m, i, length) {
  const found = weights(m, i);
  if (!found) return [];
  const path = (values) => Array.from(values, (value, t) => {
    const x = (1000 * found.times[t]) / length, y = 50 - (46 * value) / 255;
    return `${t ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
  const stroke = methods[m].colour;
  const lines = [draw("path", { d: path(found.smooth), class: "smooth", stroke })];
  if (found.raw) lines.push(draw("path", { d: path(found.raw), class: "raw" }));
  return lines;
}

// What the picture of one method tells those who cannot see it.
function spoken(m, i, ends) {
  const found = weights(m, i);
  const own = `${methods[m].label}: ${ends ? `interval ${interval(ends)}` : "no interval"}`;
  if (!found) return `${own}; no frame weights`;
  const top = found.smooth.indexOf(Math.max(...found.smooth));
  const weight = percent((found.scale * found.smooth[top]) / 255);
  return `${own}; the heaviest frame, at ${seconds(found.times[top])}, has ${weight} of the weight`;
}

function choices(i) {
  const head = make("tr", {}, ...["Choice", ...methods.map((method) => method.label)].map(
    (text) => make("th", { scope: "col" }, text)));
  const rows = all.choices[i].map((text, choice) => {
    const isTruth = choice === all.answer[i];
    const mark = isTruth ? make("span", { class: "good" }, " ✓ right answer") : "";
    const cells = methods.map((_, m) => cell(m, i, choice));
    return make("tr", {}, make("th", { scope: "row" }, text, mark), ...cells);
  });
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  const region = { class: "scroll", role: "region", tabindex: "0", "aria-labelledby": "choices" };
  const title = make("h3", { id: "choices" }, "Choices and their probabilities");
  return make("section", {}, title, make("div", region, table));
}

function cell(m, i, choice) {
  const value = probability(m, i, choice), isPicked = answer(m, i) === choice;
  const text = value === null ? "" : percent(value);
  const box = make("td", isPicked ? { class: "picked" } : {}, text, isPicked ? " ● answer" : "");
  if (value !== null) {
    box.style.backgroundImage = `linear-gradient(${methods[m].colour}, ${methods[m].colour})`;
    box.style.backgroundSize = `${100 * value}% 4px`;
  }
  return box;
}

// ---- start -------------------------------------------------------------------------------------

// The question that the address names; false where there is none.
function follow() {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    return false;
  }
  if (places.has(name) && places.get(name) !== current) show(places.get(name));
  return places.has(name);
}

function start() {
  const fill = (id, entries) =>
    $(id).append(...entries.map(([value, text]) => make("option", { value }, text)));
  const numbered = (list) => list.map((name, n) => [n, name]);
  const rules = new Set(methods.flatMap((method) => Object.keys(method.iou)));
  fill("split", numbered(all.splits));
  fill("type", numbered(all.types).sort((a, b) => (a[1] < b[1] ? -1 : 1)));
  fill("method", numbered(methods.map((method) => method.label)));
  fill("rule", [...rules].map((name) => [name, name]));
  if (data.report) {
    $("report").href = encodePath(data.report);
    $("report").hidden = false;
  }
  const again = () => {
    filter();
    if (current >= 0) show(current);
  };
  const form = $("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(again)); // after the fields have changed
  form.addEventListener("input", (event) =>
    (["method", "rule"].includes(event.target.id) ? again : filter)());
  $("list").addEventListener("scroll", () => requestAnimationFrame(paint));
  $("list").addEventListener("keydown", (event) => {
    if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  addEventListener("hashchange", follow);
  addEventListener("resize", paint);
  filter();
  if (!follow() && shown.length) show(shown[0]);
  performance.measure("open", { start: 0, end: performance.now() });
}

start();
