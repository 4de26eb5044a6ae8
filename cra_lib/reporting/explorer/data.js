"use strict";
// What the page knows, and the few helpers that everything uses. The three scripts run as one.
// Text of questions, choices and names only ever enters the page as text: never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const { questions: all, methods } = data;
const count = all.text.length;
const WHOLE = 65534, NONE = 65535, GROUNDED = WHOLE / 2;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const make = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

// Arrays stay text until a filter or a question needs them; then they are read once.
function lazy(text, Kind) {
  let values = null;
  return () => {
    if (values === null) {
      const raw = atob(text), bytes = new Uint8Array(raw.length);
      for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
      values = new Kind(bytes.buffer);
    }
    return values;
  };
}
function byRule(texts, Kind) {
  return Object.fromEntries(Object.entries(texts).map(([rule, text]) => [rule, lazy(text, Kind)]));
}
function offsets(lengths) {
  const starts = new Uint32Array(lengths.length + 1);
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = starts[i] + lengths[i];
  return starts;
}

const arrays = methods.map((method) => ({
  answers: lazy(method.answers, Int16Array),
  probabilities: lazy(method.probabilities, Uint16Array),
  spans: byRule(method.spans, Float32Array),
  iou: byRule(method.iou, Uint16Array),
  iop: byRule(method.iop, Uint16Array),
  lengths: lazy(method.lengths, Uint16Array),
  stamps: lazy(method.stamps, Uint16Array),
  scales: lazy(method.scales, Float32Array),
  smooth: lazy(method.weights, Uint8Array),
  raw: lazy(method.raw, Uint8Array),
  curveStart: null,
}));
const choiceStart = offsets(all.choices.map((choices) => choices.length));

const answer = (m, i) => arrays[m].answers()[i];
const ruleOf = (m, wanted) => (wanted && wanted in methods[m].iou ? wanted : methods[m].rule);
const share = (m, name, rule, i) => (rule ? arrays[m][name][rule]()[i] : NONE);
function probability(m, i, choice) {
  const values = arrays[m].probabilities();
  const value = values.length ? values[choiceStart[i] + choice] : NONE;
  return value === NONE ? null : value / WHOLE;
}
const confidence = (m, i) => (answer(m, i) < 0 ? null : probability(m, i, answer(m, i)));
function span(m, rule, i) {
  if (!rule) return null;
  const ends = arrays[m].spans[rule](), start = ends[2 * i];
  return Number.isNaN(start) ? null : [start, ends[2 * i + 1]];
}
const isRight = (m, i) => answer(m, i) >= 0 && answer(m, i) === all.answer[i];
const isGrounded = (m, rule, i) =>
  span(m, rule, i) !== null && share(m, "iop", rule, i) >= GROUNDED;

// Frame weights of one question: their times, and bytes of 1/255 of the largest weight.
function weights(m, i) {
  const own = arrays[m], lengths = own.lengths();
  if (!lengths[i]) return null;
  own.curveStart ??= offsets(lengths);
  const cut = (values) => values.subarray(own.curveStart[i], own.curveStart[i + 1]);
  return {
    times: data.times[own.stamps()[i]],
    scale: own.scales()[i],
    smooth: cut(own.smooth()),
    raw: methods[m].raw ? cut(own.raw()) : null,
  };
}

const videoOf = (i) => all.videos[all.video[i]];
const splitOf = (i) => all.splits[all.split[i]];
const typeOf = (i) => all.types[all.type[i]];
const durationOf = (i) => all.durations[all.video[i]];
const names = all.qid.map((qid, i) => `${videoOf(i)}_${qid}`);
const texts = all.text.map((text, i) =>
  [text, ...all.choices[i], names[i]].join("\n").toLowerCase());
// A question's key, and split/key, which also tells apart keys that two splits share.
const places = new Map();
for (let i = count - 1; i >= 0; i--) places.set(names[i], i).set(`${splitOf(i)}/${names[i]}`, i);
const linkName = (i) => (places.get(names[i]) === i ? names[i] : `${splitOf(i)}/${names[i]}`);

const seconds = (t) => `${t.toFixed(1)} s`;
const interval = (ends) => (ends ? `${ends[0].toFixed(1)}–${seconds(ends[1])}` : "no interval");
const percent = (x) => `${(100 * x).toFixed(1)} %`;
const fraction = (value) => (value === NONE ? "–" : (value / WHOLE).toFixed(2));
const encodePath = (path) => path.split("/").map(encodeURIComponent).join("/");
