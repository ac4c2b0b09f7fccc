// The dream without Python: M and V's decoder in plain JavaScript, as `worldmodels.playing.export` wrote them. Numbers
// are summed in double precision and kept in single precision. Nothing here needs a page but `connect`, at the end.
"use strict";

const SALT = 0x6a09e667;
const SQUASH = { // of `worldmodels.envs.actions`; bounds, where a task names none
  tanh: Math.tanh,
  tanh01: (x) => (Math.tanh(x) + 1) / 2,
  relu_tanh: (x) => Math.max(Math.tanh(x), 0),
  clip: (x) => Math.min(Math.max(x, -1), 1),
  bounds: (x, low, high) => (high + low) / 2 + ((high - low) / 2) * Math.tanh(x),
};
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

function bytes(text) {
  const coded = atob(text), result = new Uint8Array(coded.length);
  for (let i = 0; i < coded.length; i++) result[i] = coded.charCodeAt(i);
  return result;
}

// What each of the 65,536 half-precision numbers stands for.
function halves() {
  const table = new Float32Array(65536);
  for (let i = 0; i < 65536; i++) {
    const sign = i >> 15 ? -1 : 1, exponent = (i >> 10) & 31, fraction = (i & 1023) / 1024;
    table[i] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
  }
  return table;
}

function tensors(data) {
  const raw = bytes(data.weights), table = halves(), result = {};
  let at = 0;
  for (const [name, shape] of Object.entries(data.shapes)) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < values.length; i++, at += 2) values[i] = table[raw[at] | (raw[at + 1] << 8)];
    result[name] = values;
  }
  return result;
}

// Random numbers as of `worldmodels.playing.noise`.
class Noise {
  constructor(seed) {
    this.origin = Noise.mixed(seed ^ SALT);
    this.drawn = 0;
  }
  static mixed(x) {
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) >>> 0;
  }
  random() {
    return (Noise.mixed((this.origin + Math.imul(this.drawn++, 0x9e3779b9)) | 0) >>> 8) * 2 ** -24;
  }
  normal() {
    const radius = this.random(), angle = this.random();
    return Math.sqrt(-2 * Math.log(radius + 2 ** -24)) * Math.cos(2 * Math.PI * angle);
  }
  many(count, kind) {
    return Float32Array.from({ length: count }, () => this[kind]());
  }
}

// W x + b, where W lies row by row.
function dense(weight, bias, x) {
  const rows = bias.length, y = new Float32Array(rows), columns = x.length;
  for (let row = 0; row < rows; row++) {
    let even = bias[row], odd = 0; // of the columns, summed apart
    let at = row * columns, i = 0;
    for (; i < columns - 1; i += 2, at += 2) {
      even += weight[at] * x[i];
      odd += weight[at + 1] * x[i + 1];
    }
    y[row] = even + odd + (i < columns ? weight[at] * x[i] : 0);
  }
  return y;
}

// The transposed convolution of stride 2 that follows a ReLU: x, whose negative numbers count as 0, is (size, size, I),
// weights are (I, kernel, kernel, O), the result is (2 (size - 1) + kernel, the same, O). Four channels at a time, of
// those that are not 0.
function transposedConvolution(x, size, inputs, outputs, kernel, weight, bias) {
  const side = 2 * (size - 1) + kernel, y = new Float32Array(side * side * outputs);
  for (let i = 0; i < y.length; i++) y[i] = bias[i % outputs];
  const row = kernel * outputs, step = kernel * row, places = new Int32Array(inputs + 3), values = new Float32Array(inputs + 3);
  for (let pixel = 0; pixel < size * size; pixel++) {
    let count = 0;
    for (let i = 0; i < inputs; i++) {
      const value = x[pixel * inputs + i];
      if (value > 0) {
        places[count] = i * step;
        values[count++] = value;
      }
    }
    values.fill(0, count, count + 3);
    places.fill(0, count, count + 3);
    const corner = 2 * Math.floor(pixel / size) * side + 2 * (pixel % size);
    for (let i = 0; i < count; i += 4) {
      const v = values[i], w = values[i + 1], p = values[i + 2], q = values[i + 3];
      for (let line = 0; line < kernel; line++) {
        let to = (corner + line * side) * outputs;
        let a = places[i] + line * row, b = places[i + 1] + line * row, c = places[i + 2] + line * row, d = places[i + 3] + line * row;
        for (const end = to + row; to < end; to++, a++, b++, c++, d++) {
          y[to] += v * weight[a] + w * weight[b] + p * weight[c] + q * weight[d];
        }
      }
    }
  }
  return [y, side];
}

class Model {
  constructor(data) {
    Object.assign(this, data.sizes); // latent, action, hidden, mixtures
    this.layers = data.layers; // [inputs, outputs, kernel] of each
    this.reward = data.reward;
    this.pace = data.pace; // of the skip gain
    this.tensors = tensors(data);
  }

  // z (Z) -> a picture, (64, 64, 3) bytes.
  decode(z) {
    let x = dense(this.tensors["decoder.dense.weight"], this.tensors["decoder.dense.bias"], z), size = 1;
    this.layers.forEach(([inputs, outputs, kernel], i) => {
      const weight = this.tensors[`decoder.${i}.weight`], bias = this.tensors[`decoder.${i}.bias`];
      if (i > 0) [x, size] = transposedConvolution(x, size, inputs, outputs, kernel, weight, bias);
      else [x, size] = [fromOnePixel(x, kernel * kernel * outputs, weight, bias), kernel];
    });
    return Uint8Array.from(x, (logit) => roundHalfToEven(255 * Math.fround(sigmoid(logit))));
  }

  initial() {
    return { h: new Float32Array(this.hidden), c: new Float32Array(this.hidden) };
  }

  // One step of the LSTM: z (Z), action (A) -> the next state.
  step(z, action, state) {
    const t = this.tensors, n = this.hidden;
    let x = Float32Array.of(...z, ...action);
    if (t["adapter.weight"]) x = dense(t["adapter.weight"], t["adapter.bias"], x);
    const gates = dense(t["lstm.weight"], t["lstm.bias"], Float32Array.of(...x, ...state.h));
    const c = state.c.map((old, i) => sigmoid(gates[n + i]) * old + sigmoid(gates[i]) * Math.tanh(gates[2 * n + i]));
    return { h: c.map((cell, i) => sigmoid(gates[3 * n + i]) * Math.tanh(cell)), c };
  }

  // The next z (Z), drawn from the mixtures that follow h, after z.
  draw(h, z, temperature, uniform, noise) {
    const t = this.tensors, k = this.mixtures, size = this.latent * k;
    const parts = dense(t["mdn.weight"], t["mdn.bias"], h);
    return z.map((old, i) => {
      const logits = parts.subarray(i * k, (i + 1) * k), highest = Math.max(...logits);
      let total = 0, chosen = 0;
      const edges = Array.from(logits, (logit) => (total += Math.exp((logit - highest) / temperature)));
      while (chosen < k - 1 && edges[chosen] <= uniform[i] * total) chosen++;
      const at = i * k + chosen, kept = t["skip_gain"] ? this.pace * t["skip_gain"][i] * old : 0;
      return parts[size + at] + kept + Math.exp(parts[2 * size + at]) * Math.sqrt(temperature) * noise[i];
    });
  }

  end(h) {
    const t = this.tensors;
    return t["end.weight"] ? sigmoid(dense(t["end.weight"], t["end.bias"], h)[0]) : null;
  }

  // The expected reward; null where M predicts none.
  expected(h) {
    const { kind, value, offset, scale, bins } = this.reward, t = this.tensors;
    if (kind === "none") return null;
    if (kind === "same") return value;
    const y = dense(t["reward.weight"], t["reward.bias"], h);
    if (kind === "gaussian") return offset + scale * y[0];
    const highest = Math.max(...y), weights = Array.from(y, (logit) => Math.exp(logit - highest));
    return weights.reduce((sum, p, i) => sum + p * bins[i], 0) / weights.reduce((a, b) => a + b);
  }
}

// `transposedConvolution` of a single pixel, which is a dense layer, of numbers of either sign.
function fromOnePixel(x, size, weight, bias) {
  const y = new Float32Array(size);
  for (let i = 0; i < size; i++) y[i] = bias[i % bias.length];
  for (let i = 0; i < x.length; i += 2) {
    const a = x[i], b = x[i + 1];
    for (let j = 0, p = i * size, q = p + size; j < size; j++, p++, q++) y[j] += a * weight[p] + b * weight[q];
  }
  return y;
}

// Rounded to the nearest whole number, halves to the even one.
function roundHalfToEven(x) {
  const floor = Math.floor(x), rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2) ? floor + 1 : floor;
}

// As `worldmodels.playing.session.Session`, without the task.
class Session {
  constructor(data) {
    this.data = data;
    this.model = new Model(data);
    Object.assign(this, { temperature: data.greeting.temperature, speed: 1, ends: data.greeting.ends });
    Object.assign(this, { paused: false, agent: false, held: [], changed: true });
    this.frames = bytes(data.frames);
    this.begin(0, data.greeting.seed);
  }

  begin(start, seed) {
    const { mu, deviation } = this.data.first[start];
    Object.assign(this, { noise: new Noise(seed), action: this.data.rest, changed: true });
    const z = this.noise.many(mu.length, "normal").map((noise, i) => mu[i] + Math.fround(deviation[i] * noise));
    this.dream = { z, state: this.model.initial(), step: 0, reward: null, total: 0, end: null, over: false };
    const size = this.frames.length / this.data.first.length;
    this.beside = [this.model.decode(Float32Array.from(mu)), this.frames.subarray(start * size, (start + 1) * size)];
  }

  handle(message) {
    for (const [name, value] of Object.entries(message)) {
      if (name === "begin") this.begin(...value);
      else if (name === "keys") this.held = value;
      else if (name === "pause") this.paused = value;
      else this[name] = value;
    }
  }

  pressed() {
    const { rest, stays, chooses, greeting } = this.data;
    const action = [...(stays ? this.action : rest)];
    const keys = this.held.map((name) => greeting.keys.find((key) => key.key === name)).filter(Boolean);
    keys.forEach((key, order) => key.places.forEach((place, i) => { action[place] += (chooses ? order + 1 : 1) * key.values[i]; }));
    if (chooses) return chosen(action, this.data.starts);
    if (this.data.switches) return action.map((x) => (x > 0.5 ? 1 : 0));
    return this.nearest(action);
  }

  // The continuous action that one comes nearest to, as of `worldmodels.envs.actions.BoxCodec`.
  nearest(action) {
    const { low, high, integer } = this.data;
    return action.map((x, i) => Math.min(Math.max(integer ? roundHalfToEven(x) : x, low[i]), high[i]));
  }

  // What C does with what it reads of the dream.
  decided() {
    const { inputs, layers, squash, threshold } = this.data.agent;
    const { rest, chooses, switches, starts, low, high } = this.data;
    const seen = inputs.flatMap((name) => [...(name === "z" ? this.dream.z : this.dream.state[name])]);
    const outputs = layers.reduce((x, { weights, biases }, i) => {
      const read = i ? x.map(Math.tanh) : x; // the hidden layer's units
      return biases.map((bias, row) => weights[row].reduce((sum, w, j) => sum + w * read[j], bias));
    }, seen);
    if (chooses && !threshold) return chosen(outputs, starts);
    if (switches) return outputs.map((x) => (x > 0 ? 1 : 0));
    if (!chooses) return this.nearest(outputs.map((x, i) => SQUASH[squash[i] ?? "bounds"](x, low[i], high[i])));
    const action = rest.map(() => 0);
    starts.forEach((start, i) => {
      const options = (starts[i + 1] ?? rest.length) - start;
      action[start + Math.min(Math.floor(((Math.tanh(outputs[i]) + 1) / 2) * options), options - 1)] = 1;
    });
    return action;
  }

  step() {
    const { model, dream, noise } = this;
    if (this.paused || dream.over) return false;
    this.action = this.agent ? this.decided() : this.pressed();
    dream.state = model.step(dream.z, this.action, dream.state);
    dream.step += 1;
    const h = dream.state.h, uniform = noise.many(model.latent, "random"), normal = noise.many(model.latent, "normal");
    const fate = noise.random();
    dream.z = model.draw(h, dream.z, this.temperature, uniform, normal);
    dream.reward = model.expected(h);
    dream.total += dream.reward ?? 0;
    dream.end = model.end(h);
    dream.over = dream.step >= this.data.most || (this.ends && (dream.end ?? 0) > fate);
    return true;
  }

  pictures() {
    const parts = [this.model.decode(this.dream.z), ...this.beside], size = parts[0].length, all = new Uint8Array(3 * size);
    parts.forEach((part, i) => all.set(part, i * size));
    return all;
  }

  facts() {
    const { step, reward, total, end, over } = this.dream;
    return { dream: { step, reward, total, end, over }, task: null, action: this.action };
  }
}

// The largest of each choice's numbers as a one-hot vector, the first of equal ones.
function chosen(action, starts) {
  const result = action.map(() => 0);
  starts.forEach((start, i) => {
    const part = action.slice(start, starts[i + 1]);
    result[start + part.indexOf(Math.max(...part))] = 1;
  });
  return result;
}

function connect(greet, show) {
  const session = new Session(DATA);
  let due = performance.now();
  const turn = () => {
    const moved = session.step();
    if (moved || session.changed) {
      session.changed = false;
      show(session.facts(), session.pictures());
    }
    due = Math.max(due + (moved ? 1000 / (DATA.greeting.fps * session.speed) : 20), performance.now());
    setTimeout(turn, due - performance.now());
  };
  setTimeout(() => {
    greet(DATA.greeting);
    turn();
  });
  return (message) => session.handle(message);
}
