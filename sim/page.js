"use strict";
const $ = id => document.getElementById(id);
const GUTTER = 104, COLUMN = 3, SPAN = 8, RING = 1024, KEEP = 1000;
const NAMES = {N: "normal", S: "supraventricular", V: "ventricular", F: "fusion", Q: "unknown"};
let meta = null, totals = null, ended = null, source = null;
let steps = [], received = 0, beats = new Map(), latest = null;
let now = 0, nowAt = 0, shown = null, head = null, scale = null, frame = 0, sections = [];
let colours = {};

const format = (value, digits = 0) => value.toLocaleString("en-US",
  {minimumFractionDigits: digits, maximumFractionDigits: digits});
const safe = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const short = index => meta.classes[index].length > 2 ? "" : meta.classes[index];
const className = index => meta.title === "ECG" && NAMES[meta.classes[index]] || meta.classes[index];
const classColour = index => colours["c" + Math.min(index, 4)];
const bytes = text => Int8Array.from(atob(text), c => c.charCodeAt(0));

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["card", "line", "ink", "soft", "faint", "good", "bad", "spike", "low", "high",
                      "up", "down", "on", "c0", "c1", "c2", "c3", "c4"])
    colours[name] = style.getPropertyValue("--" + name).trim();
}
const parts = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16));
const packed = ([r, g, b]) => (255 << 24 | b << 16 | g << 8 | r) >>> 0;
const mix = (from, to, share) => parts(from).map((value, k) =>
  Math.round(value + (parts(to)[k] - value) * share));

// ---- what comes from the server ------------------------------------------------------------

function connect() {
  source = new EventSource("events");
  source.addEventListener("hello", event => begin(JSON.parse(event.data)));
  source.addEventListener("data", event => take(JSON.parse(event.data)));
  source.addEventListener("end", event => finish(JSON.parse(event.data)));
  source.onerror = () => {
    if (ended === null) pill("connection lost, trying again", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}

function begin(hello) {
  meta = hello;
  steps = []; received = 0; beats = new Map(); latest = null; ended = null; totals = null;
  shown = head = scale = null; now = 0; nowAt = performance.now();
  $("banner").style.display = "none";
  $("about").textContent = `network ${meta.network}, ` +
    `${[...new Set(meta.layers.map(layer => layer.bits))].join(" and ")} bits a membrane: its ` +
    `Verilog, compiled by Verilator`;
  document.title = `${meta.title} through a simulated core`;
  $("title").textContent = document.title;
  $("intime").textContent = `${meta.title} in time`;
  $("notes").style.display = meta.title === "ECG" ? "" : "none";
  $("recording").textContent = `${meta.recording}: above decides the core, below the ${meta.judge}`;
  const pace = meta.rate * meta.steps / (meta.seen[1] - meta.seen[0]);
  $("stepping").textContent = `${meta.steps} steps a ${meta.what}, ${format(pace)} a second: ` +
    "each is compared with the golden model";
  pill("playing " + (meta.speed ? `at ${meta.speed}× speed` : "as fast as it goes"), "good");
  $("letter").textContent = ""; $("letter").style.background = "";
  $("said").textContent = `no ${meta.what} yet`; $("truth").textContent = "";
  $("which").textContent = "";
  $("scores").className = meta.classes.some(name => name.length > 2) ? "named" : "";
  $("scores").innerHTML = meta.classes.map((name, k) => `<div class="score"><span class="name">` +
    `${safe(name)}</span><div class="track"><div class="bar c${
    Math.min(k, 4)}"></div></div><span class="value"></span></div>`).join("");
  readColours();
  layOut();
}

function take(data) {
  if (!meta) return;
  for (const item of data.items) {
    if (item.kind === "beat") {
      beats.set(item.number, item);
      if (beats.size > 60) beats.delete(beats.keys().next().value);
    } else if (item.kind === "step") {
      item.inputs = bytes(item.inputs);
      item.spikes = item.spikes.map(bytes);
      item.membranes = item.membranes.map(bytes);
      item.index = received++;
      steps.push(item);
      if (steps.length > KEEP) steps.shift();
      paint(item);
    } else if (beats.has(item.beat)) {
      latest = Object.assign(beats.get(item.beat), {label: item.label, scores: item.scores});
    }
  }
  now = data.now; nowAt = performance.now();
  totals = data.totals;
  write();
}

function finish(text) {
  ended = text;
  pill("the stream has ended", totals && totals.mismatches ? "bad" : "");
  $("banner").textContent = text;
  $("banner").className = totals && totals.mismatches ? "bad" : "";
  $("banner").style.display = "block";
}

function pill(text, kind) {
  $("state").textContent = text;
  $("state").className = "pill " + kind;
}

// ---- numbers -------------------------------------------------------------------------------

function write() {
  const wrong = totals.mismatches > 0;
  $("mismatches").className = wrong ? "bad" : "";
  $("mismatches").firstChild.textContent = format(totals.mismatches);
  $("mismatches").lastChild.textContent = wrong ? "differ: " + Object.keys(totals.wrong).join(", ")
    : `mismatches in ${format(totals.compared)} values`;
  const mean = totals.steps ? totals.cycles / totals.steps : 0;
  const rows = [
    [`${meta.what}s`, format(totals.beats)],
    ["right", totals.beats ? `${format(totals.right)} <small>${
      format(100 * totals.right / totals.beats, 1)} %</small>` : "–"],
    ["steps", format(totals.steps)],
    ["cycles a step, mean", format(mean, 0), "gap"],
    ["cycles a step, most", format(totals.most)],
    [`busy at ${format(meta.clock / 1e6)} MHz`, `${format(100 * totals.busy, 3)} %`],
    ["idle", `${format(100 - 100 * totals.busy, 3)} %`],
    ["lowest clock that keeps up", `${format(totals.lowest / 1e3, 1)} kHz`, "",
     "Each step is done before the next one comes. Where a window begins before the one before " +
     "it ends, its steps come faster."],
  ];
  if (totals.lags) rows.push(["too slow for its pace", `${format(totals.lags)} times`]);
  html($("counters"), rows.map(([name, value, kind, title]) =>
    `<tr class="${kind || ""}" title="${title || ""}"><td>${name}</td><td>${value}</td></tr>`).join(""));
  html($("classes"), meta.classes.map((name, k) => {
    let all = 0, right = 0;
    for (const [truth, label, count] of totals.classes)
      if (truth === k) { all += count; right += label === k ? count : 0; }
    const said = name === className(k) ? name : `${name} ${className(k)}`;
    return `<tr><td><i class="c${Math.min(k, 4)}"></i>${safe(said)}` +
      `</td><td></td><td>${all ? `${format(right)} <small>of ${format(all)}</small>` : "–"}</td></tr>`;
  }).join(""));
  if (!latest) return;
  $("which").textContent = `${meta.what} ${format(latest.number + 1)}, at ${format(latest.at, 1)} s`;
  $("letter").textContent = short(latest.label);
  $("letter").style.background = `var(--c${Math.min(latest.label, 4)})`;
  $("said").textContent = className(latest.label);
  const same = latest.label === latest.truth;
  html($("truth"), `${meta.judge}: ${same ? "the same" : `<b>${
    safe(`${short(latest.truth)} ${className(latest.truth)}`)}</b>`}`);
  const low = Math.min(...latest.scores), high = Math.max(...latest.scores);
  [...$("scores").children].forEach((row, k) => {
    const value = latest.scores[k];
    row.className = "score" + (k === latest.label ? " best" : "");
    row.querySelector(".bar").style.width = `${4 + 96 * (value - low) / (high - low || 1)}%`;
    row.querySelector(".value").textContent = format(value);
  });
}

function html(element, text) {
  if (element.dataset.text !== text) { element.innerHTML = text; element.dataset.text = text; }
}

// ---- rasters and heat maps: a column a step, in a ring --------------------------------------

function layOut() {
  if (!meta) return;
  for (const id of ["time", "steps"]) {
    const canvas = $(id), box = canvas.parentElement.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    canvas.logical = [box.width, box.height];
  }
  const [, height] = $("steps").logical, hidden = meta.layers;
  const rows = meta.inputs.reduce((sum, [, count]) => sum + count, 0);
  const neurons = hidden.reduce((sum, layer) => sum + layer.neurons, 0);
  const top = 18, signal = 44, gap = 9;
  const left = height - top - signal - gap * (1 + 2 * hidden.length) - 4;
  const input = Math.max(3, Math.min(5, Math.floor(left * 0.3 / rows)));
  const each = Math.max(1, (left - rows * input) / (2 * neurons));
  let y = top;
  sections = [{kind: "signal", y, height: signal}];
  y += signal + gap;
  const add = (kind, layer, count, size) => {
    const canvas = document.createElement("canvas");
    canvas.width = RING; canvas.height = count;
    sections.push({kind, layer, y, height: count * size, rows: count, canvas,
                   context: canvas.getContext("2d"), heat: null});
    y += count * size + gap;
  };
  add("inputs", 0, rows, input);
  hidden.forEach((layer, k) => {
    add("spikes", k, layer.neurons, each);
    add("membranes", k, layer.neurons, each);
  });
  recolour();
}

function recolour() {
  readColours();
  const card = colours.card;
  for (const section of sections) {
    if (section.kind === "inputs") {
      section.inks = meta.inputs.flatMap(([name, count], k) =>
        Array(count).fill(packed(parts([colours.up, colours.down][k % 2]))));
    } else if (section.kind === "membranes") {
      const {low, high} = meta.layers[section.layer], bound = Math.max(-low, high);
      section.heat = new Map();
      for (let value = low; value <= high; value++)
        section.heat.set(value, packed(mix(card, value < 0 ? colours.low : colours.high,
                                           Math.pow(Math.abs(value) / bound, 0.8))));
    }
  }
  steps.forEach(paint);
}

function paint(item) {
  for (const section of sections) {
    if (!section.canvas) continue;
    const image = section.context.createImageData(1, section.rows);
    const pixels = new Uint32Array(image.data.buffer);
    const values = section.kind === "inputs" ? item.inputs : item[section.kind][section.layer];
    const blank = packed(parts(colours.card));
    const ink = packed(parts(colours.spike));
    for (let row = 0; row < section.rows; row++)
      pixels[row] = section.heat ? section.heat.get(values[row])
        : values[row] ? (section.inks ? section.inks[row] : ink) : blank;
    section.context.putImageData(image, item.index % RING, 0);
  }
}

function begun(canvas) {
  const context = canvas.getContext("2d"), ratio = canvas.width / canvas.logical[0];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, ...canvas.logical);
  context.textBaseline = "middle";
  return [context, ...canvas.logical, ratio];
}

const font = size => `${size}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;

function gutter(context, text, y, colour = colours.soft, size = 11) {
  context.font = font(size);
  context.fillStyle = colour;
  context.textAlign = "right";
  context.fillText(text, GUTTER - 10, y);
}

function drawSteps() {
  const [context, width, , ratio] = begun($("steps"));
  const count = Math.ceil((width - GUTTER) / COLUMN) + 1;
  const start = head - (width - GUTTER) / COLUMN;  // step at the left edge
  const x = step => Math.round((GUTTER + (step - start) * COLUMN) * ratio) / ratio;
  const first = Math.max(Math.floor(start), received - Math.min(steps.length, RING - 1), 0);
  const last = Math.min(received, first + count + 1, Math.ceil(head));
  const visible = steps.slice(first - received + steps.length,
                              last - received + steps.length);
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, width - GUTTER, canvasBottom());
  context.clip();
  context.imageSmoothingEnabled = false;
  for (const section of sections) {
    if (!section.canvas) continue;
    for (let at = first; at < last;) {
      const place = at % RING, size = Math.min(last - at, RING - place);
      context.drawImage(section.canvas, place, 0, size, section.rows,
                        x(at), section.y, size * COLUMN, section.height);
      at += size;
    }
  }
  // beats: an edge before each, its signal, and what was decided
  for (let k = 0; k < visible.length;) {
    let next = k + 1;
    while (next < visible.length && visible[next].beat === visible[k].beat) next++;
    const part = visible.slice(k, next), beat = beats.get(part[0].beat);
    const from = x(part[0].index - part[0].place), to = from + meta.steps * COLUMN;
    context.fillStyle = colours.line;
    context.fillRect(from - 0.5, 0, 1, canvasBottom());
    const label = beat && beat.label;
    if (label !== undefined) {
      context.fillStyle = classColour(label);
      context.fillRect(from + 1.5, 2, to - from - 3, 12);
      context.fillStyle = colours.on;
      context.textAlign = "center";
      context.font = "bold " + font(10);
      context.fillText(meta.classes[label], (from + to) / 2, 8.5, to - from - 6);
      if (label !== beat.truth) {
        context.textAlign = "right";
        context.fillText("≠ " + meta.classes[beat.truth], to - 5, 8.5, (to - from) / 3);
      }
    } else {
      context.fillStyle = colours.faint;
      context.fillRect(from + 1.5, 2, Math.max(0, part.length * COLUMN - 3), 12);
    }
    const section = sections[0], [low, high] = scale || [0, 1];
    context.strokeStyle = colours.ink;
    context.lineWidth = 1.3;
    context.beginPath();
    part.forEach((item, place) => item.samples.forEach((value, sample) => {
      const across = x(item.index) + (sample + 0.5) * COLUMN / item.samples.length;
      const down = section.y + section.height - 2
        - (section.height - 4) * (value - low) / (high - low);
      place || sample ? context.lineTo(across, down) : context.moveTo(across, down);
    }));
    context.stroke();
    for (const item of part) if (item.wrong) {
      context.fillStyle = colours.bad;
      context.fillRect(x(item.index), 15, COLUMN, 3);
    }
    k = next;
  }
  context.restore();
  context.fillStyle = colours.line;
  for (const section of sections.slice(1)) {
    context.fillRect(GUTTER, section.y - 1, width - GUTTER, 1);
    context.fillRect(GUTTER, section.y + section.height, width - GUTTER, 1);
  }
  gutter(context, "decision", 8.5);
  for (const section of sections) {
    const middle = section.y + section.height / 2;
    if (section.kind === "signal") gutter(context, "samples", middle);
    if (section.kind === "inputs") {
      const size = section.height / section.rows;
      let at = section.y;
      meta.inputs.forEach(([name, count], k) => {
        gutter(context, name, at + count * size / 2, [colours.up, colours.down][k % 2],
               Math.max(8, Math.min(11, count * size - 1)));
        at += count * size;
      });
    }
    if (section.kind === "spikes") {
      gutter(context, `layer ${section.layer}`, middle - 7, colours.ink);
      gutter(context, `${section.rows} spikes`, middle + 7);
    }
    if (section.kind === "membranes") {
      const {low, high} = meta.layers[section.layer];
      gutter(context, "membranes", middle - 14, colours.ink);
      gutter(context, `${low} to ${high}`, middle);
      const values = [...section.heat.entries()], size = 72 / values.length;
      values.forEach(([, colour], k) => {
        context.fillStyle = `rgb(${colour & 255},${colour >> 8 & 255},${colour >> 16 & 255})`;
        context.fillRect(GUTTER - 10 - 72 + k * size, middle + 9, size + 0.3, 7);
      });
      context.strokeStyle = colours.line;
      context.strokeRect(GUTTER - 10 - 72 + 0.5, middle + 8.5, 72, 8);
    }
  }
}

const canvasBottom = () => sections.length
  ? sections.at(-1).y + sections.at(-1).height + 1 : 0;

// ---- the signal in time ----------------------------------------------------------------------

function drawTime() {
  const [context, width, height] = begun($("time"));
  const bottom = height - 44, start = shown - SPAN;
  const x = at => GUTTER + (width - GUTTER) * (at - start) / SPAN;
  const list = [...beats.values()];
  const timed = list.map(beat => ({
    beat, begin: beat.at - meta.peak / meta.rate,
    from: beat.at + (meta.seen[0] - meta.peak) / meta.rate,
    to: beat.at + (meta.seen[1] - meta.peak) / meta.rate}));
  let low = Infinity, high = -Infinity;
  for (const {beat} of timed) for (const value of beat.samples) {
    low = Math.min(low, value); high = Math.max(high, value);
  }
  if (low > high) return;
  const pad = (high - low) * 0.06 + 1;
  scale = scale ? [scale[0] + (low - pad - scale[0]) * 0.08, scale[1] + (high + pad - scale[1])
    * 0.08] : [low - pad, high + pad];
  const y = value => 4 + (bottom - 8) * (scale[1] - value) / (scale[1] - scale[0]);
  const [unit, per, zero] = meta.unit;
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, width - GUTTER, height);
  context.clip();
  context.fillStyle = colours.line;
  for (let second = Math.ceil(start); second <= shown; second++)
    context.fillRect(Math.round(x(second)), 0, 1, bottom);
  timed.forEach(({beat, from, to}, k) => {
    const end = k + 1 < timed.length ? Math.min(to, timed[k + 1].from) : to;
    if (x(end) < GUTTER || from > shown) return;
    context.globalAlpha = beat.label === undefined ? 0.5 : 0.2;
    context.fillStyle = beat.label === undefined ? colours.faint : classColour(beat.label);
    context.fillRect(x(from), 0, x(Math.min(end, shown)) - x(from), bottom);
    context.globalAlpha = 1;
  });
  // all there is as a thin line, then what goes into the core
  let past = null;
  for (const {beat, begin} of timed) {
    const points = beat.samples.map((value, k) => [begin + k / meta.rate, value])
      .filter(([at]) => (!past || at > past[0]) && at <= shown);
    if (!points.length) continue;
    if (past && points[0][0] - past[0] < 1.5 / meta.rate) points.unshift(past);
    past = points.at(-1);
    context.globalAlpha = 0.6;
    line(context, points.map(([at, value]) => [x(at), y(value)]), colours.soft, 1);
    context.globalAlpha = 1;
  }
  for (const {beat, begin} of timed) {
    const points = beat.samples.map((value, k) => [begin + k / meta.rate, value])
      .slice(...meta.seen).filter(([at]) => at <= shown);
    line(context, points.map(([at, value]) => [x(at), y(value)]), colours.ink, 1.6);
  }
  context.textAlign = "center";
  for (const {beat} of timed) {
    if (beat.label === undefined || x(beat.at) < GUTTER - 20) continue;
    const across = x(beat.at), same = beat.label === beat.truth;
    context.font = "bold " + font(12);
    const half = Math.max(10, context.measureText(meta.classes[beat.label]).width / 2 + 4);
    if (!same) {
      context.fillStyle = colours.bad;
      context.globalAlpha = 0.22;
      round(context, across - half - 4, bottom + 2, 2 * half + 8, 42, 6);
      context.globalAlpha = 1;
    }
    context.fillStyle = classColour(beat.label);
    round(context, across - half, bottom + 4, 2 * half, 18, 5);
    context.fillStyle = colours.on;
    context.fillText(meta.classes[beat.label], across, bottom + 13.5);
    context.fillStyle = classColour(beat.truth);
    context.fillText(meta.classes[beat.truth], across, bottom + 34);
  }
  context.restore();
  gutter(context, "core", bottom + 13.5, colours.ink);
  gutter(context, meta.judge, bottom + 34);
  gutter(context, "1 s a line", 8);
  if (!per) return;  // numbers of any kind
  const tall = Math.abs(y(0) - y(per));  // a bar of one unit
  const middle = (bottom + 8) / 2;
  context.fillStyle = colours.soft;
  context.fillRect(GUTTER - 12, middle - tall / 2, 1.5, tall);
  gutter(context, `1 ${unit} `, middle, colours.soft);
}

function line(context, points, colour, size) {
  context.strokeStyle = colour;
  context.lineWidth = size;
  context.lineJoin = "round";
  context.beginPath();
  points.forEach(([across, down], k) => k ? context.lineTo(across, down)
    : context.moveTo(across, down));
  context.stroke();
}

function round(context, x, y, width, height, radius) {
  context.beginPath();
  context.roundRect(x, y, width, height, radius);
  context.fill();
}

function draw(at) {
  const passed = Math.min(0.1, (at - frame) / 1000);
  frame = at;
  if (meta && sections.length) {
    const ahead = ended === null ? Math.min(1.2, (at - nowAt) / 1000) * meta.speed : 0;
    const target = now + Math.max(0, ahead) - (ended === null ? 0.12 : 0), share = Math.min(1, passed * 9);
    shown = shown === null || Math.abs(target - shown) > SPAN / 2 ? target
      : shown + (target - shown) * share;
    head = head === null || received - head > 250 ? received : head + (received - head) * share;
    if (received - head < 0.02) head = received;
    drawTime();
    drawSteps();
  }
  requestAnimationFrame(draw);
}

window.addEventListener("resize", layOut);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => meta && recolour());
readColours();
connect();
requestAnimationFrame(draw);
