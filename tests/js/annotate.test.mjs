/** The pure parts of the shipped annotate.js, as `node --test` sees them; no browser, no build. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./widget.mjs";

const js = await load("annotate/annotate.js");

const IMAGE = { width: 400, height: 300 };
const STAGE = { width: 900, height: 500 };
const close = (a, b, least = 1e-9) => assert.ok(Math.abs(a - b) <= least, `${a} is not ${b}`);
const point = (id, x, y, label = "weed") => ({ id, x, y, label, source: "hand", score: null });

/** Repeatable numbers in [0, 1). */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What of `localStorage` is used; its entries are its own properties there too. */
class Storage {
  getItem(name) {
    return this[name] ?? null;
  }
  setItem(name, value) {
    this[name] = value;
  }
  removeItem(name) {
    delete this[name];
  }
}

const outboxes = (storage, ...sessions) =>
  sessions.map((session) => Object.assign(new js.Outbox(session, storage), { key: "folder" }));

test("the centre of the top-left pixel is (0, 0): the image's corner is at (-0.5, -0.5)", () => {
  const view = { k: 8, ox: 30, oy: -7 };
  assert.deepEqual(js.toStage(view, -0.5, -0.5), { x: 30, y: -7 });
  assert.deepEqual(js.toStage(view, 0, 0), { x: 34, y: -3 });
  assert.deepEqual(js.toImage(view, 34, -3), { x: 0, y: 0 });
});

test("stage and image coordinates go round at every tenth of a pixel and every zoom", () => {
  for (const k of [0.07, 0.5, 1, 3.3, 64]) {
    for (let phase = 0; phase < 1; phase += 0.1) {
      const view = { k, ox: 11.3, oy: -250.7 };
      const at = js.toStage(view, 17 + phase, 41 - phase);
      const back = js.toImage(view, at.x, at.y);
      close(back.x, 17 + phase);
      close(back.y, 41 - phase);
    }
  }
});

test("fitted, the image stands whole in the middle", () => {
  const view = js.fitView(IMAGE, STAGE);
  const from = js.toStage(view, -0.5, -0.5);
  const to = js.toStage(view, 399.5, 299.5);
  assert.ok(from.x >= 0 && from.y >= 0 && to.x <= 900 && to.y <= 500);
  close(from.x + to.x, 900);
  close(from.y + to.y, 500);
});

test("zooming leaves what is under the pointer where it is, at the limits too", () => {
  const view = { k: 2, ox: 13, oy: 5 };
  for (const factor of [1.4, 0.3, 1000, 1e-6]) {
    const under = js.toImage(view, 222, 111);
    const zoomed = js.zoomAt(view, factor, 222, 111, [0.1, 64]);
    const at = js.toStage(zoomed, under.x, under.y);
    assert.ok(zoomed.k >= 0.1 && zoomed.k <= 64);
    close(at.x, 222);
    close(at.y, 111);
  }
});

test("the next image is shown at the same zoom and the same fraction of it", () => {
  const view = { k: 3, ox: -100, oy: -50 };
  assert.deepEqual(js.carryView(view, IMAGE, IMAGE, STAGE), view);
  const after = js.carryView(view, IMAGE, { width: 800, height: 600 }, STAGE);
  const before = js.toImage(view, 450, 250);
  const now = js.toImage(after, 450, 250);
  close((now.x + 0.5) / 800, (before.x + 0.5) / 400);
  close((now.y + 0.5) / 600, (before.y + 0.5) / 300);
});

test("however far one pans, a part of the image stays in view", () => {
  for (const [ox, oy] of [[1e6, 0], [-1e6, 1e6], [0, -1e6]]) {
    const view = js.keepInSight({ k: 1, ox, oy }, IMAGE, STAGE);
    assert.ok(view.ox < 900 && view.ox + 400 > 0 && view.oy < 500 && view.oy + 300 > 0);
  }
});

test("a drawn point grows with the zoom and stays between 3 and 16 px", () => {
  const radii = [0.01, 0.1, 0.5, 1, 4, 20, 64].map(js.pointRadius);
  assert.deepEqual(radii, radii.toSorted((a, b) => a - b));
  assert.ok(radii[0] === 3 && radii.at(-1) === 16);
});

test("with 10,000 points seen from afar most clicks still add", () => {
  const spacing = Math.sqrt((4000 * 3000) / 10_000) * 0.2;
  const radius = js.hitRadius(js.pointRadius(0.2), spacing);
  assert.ok((Math.PI * radius ** 2) / spacing ** 2 < 0.3);
  assert.ok(js.hitRadius(6, 500, true) > js.hitRadius(6, 500));
});

test("the grid finds what a search through all points finds", () => {
  const random = randomNumbers(1);
  const store = new js.PointStore(400, 300);
  const all = new Map();
  for (let i = 0; i < 3000; i++) {
    const id = `a-${Math.floor(random() * 500)}`;
    const p = point(id, random() * 400 - 0.5, random() * 300 - 0.5, random() < 0.5 ? "weed" : "crop");
    if (random() < 0.3) {
      store.delete(id);
      all.delete(id);
    } else {
      store.put(p);
      all.set(id, p);
    }
  }
  const ids = (list) => list.map((p) => p.id).sort();
  const inside = [...all.values()].filter((p) => p.x >= 50 && p.x <= 222 && p.y >= 99 && p.y <= 200);
  assert.deepEqual(ids(store.inside(50, 99, 222, 200)), ids(inside));
  const nearest = [...all.values()].sort((p, q) => Math.hypot(p.x - 9, p.y - 8) - Math.hypot(q.x - 9, q.y - 8))[0];
  assert.equal(store.nearest(9, 8, 100).id, nearest.id);
  assert.equal(store.counts.weed, [...all.values()].filter((p) => p.label === "weed").length);
  assert.equal(store.size, all.size);
});

test("points on the very edge, and a radius beyond it, are found", () => {
  const store = new js.PointStore(40, 30, [point("a", -0.5, -0.5), point("b", 39.5, 29.5)]);
  assert.equal(store.nearest(-3, -3, 5).id, "a");
  assert.equal(store.nearest(42, 31, 5).id, "b");
  assert.equal(store.nearest(20, 15, 5), null);
});

const record = (points = []) => new js.Record({ name: "a.png", ...IMAGE, points });

test("each edit does what it says, and twice is the same as once", () => {
  const a = record([point("s-1", 1, 1)]);
  const edits = [
    { op: "add", points: [{ id: "s-2", x: 5, y: 6, label: "crop" }] },
    { op: "move", points: [{ id: "s-1", x: 9, y: 8 }] },
    { op: "label", points: [{ id: "s-1", label: "crop" }] },
    { op: "move", points: [{ id: "gone", x: 1, y: 1 }] },
    { op: "reject", points: [{ id: "s-3", x: 3, y: 3, label: "weed", score: 0.4 }] },
  ];
  for (const edit of [...edits, ...edits]) js.applyEdit(a, edit);
  assert.deepEqual(a.points.get("s-1"), { ...point("s-1", 9, 8), label: "crop" });
  assert.equal(a.points.counts.crop, 2);
  assert.equal(a.rejected.size, 1);
  js.applyEdit(a, { op: "delete", points: [{ id: "s-1" }, { id: "s-1" }] });
  assert.equal(a.points.size, 1);
});

test("unlabelled becomes empty by a mark only, and a point takes the mark away", () => {
  const a = record();
  assert.equal(a.state, "unlabelled");
  js.applyEdit(a, { op: "mark", mark: "empty" });
  assert.equal(a.state, "empty");
  js.applyEdit(a, { op: "add", points: [point("s-1", 1, 1)] });
  assert.equal(a.state, "started");
  js.applyEdit(a, { op: "mark", mark: "done" });
  assert.equal(a.state, "labelled");
  js.applyEdit(a, { op: "add", points: [point("s-2", 2, 2)] });
  assert.equal(a.state, "labelled");
  js.applyEdit(a, { op: "delete", points: [{ id: "s-2" }] });
  js.applyEdit(a, { op: "delete", points: [{ id: "s-1" }] });
  assert.equal(a.state, "unlabelled");
});

test("an answer leaves points alone that later edits are under way for", () => {
  const a = record([point("s-1", 9, 9)]);
  const changes = [{ id: "s-1", point: { x: 1, y: 1, label: "weed" } }, { id: "s-2", point: { x: 2, y: 2, label: "weed" } }];
  js.applyOutcome(a, { changes, rejections: [], mark: "" }, (id) => id === "s-1");
  assert.equal(a.points.get("s-1").x, 9);
  assert.equal(a.points.get("s-2").x, 2);
  js.applyOutcome(a, { changes: [{ id: "s-2", point: null }] });
  assert.equal(a.points.get("s-2"), undefined);
});

test("edits wait in order, are kept, and are forgotten when answered", () => {
  const storage = new Storage();
  const [box] = outboxes(storage, "aaaaaa");
  const first = box.add({ op: "add", image: "a.png", points: [{ id: "p" }] });
  const second = box.add({ op: "move", image: "a.png", points: [{ id: "p" }] });
  assert.deepEqual([first.edit, second.edit, first.session], [1, 2, "aaaaaa"]);
  assert.equal(JSON.parse(storage.getItem("pointlib:folder:aaaaaa")).length, 2);
  assert.equal(box.settle("aaaaaa", 1).op, "add");
  assert.ok(box.touches("p"));
  box.settle("aaaaaa", 2);
  assert.ok(!box.touches("p"));
  assert.equal(box.settle("aaaaaa", 2), undefined);
  assert.deepEqual(Object.keys(storage), []);
});

test("a new view takes over what a dead one left, with its session and numbers, once", () => {
  const storage = new Storage();
  const [dead, other, fresh] = outboxes(storage, "dddddd", "eeeeee", "ffffff");
  other.key = "another folder";
  [dead, other].forEach((box) => [1, 2, 3].forEach((x) => box.add({ op: "add", image: "a", points: [{ id: `p${x}` }] })));
  dead.settle("dddddd", 1);
  const left = fresh.adopt();
  assert.deepEqual(left.map((edit) => [edit.session, edit.edit]), [["dddddd", 2], ["dddddd", 3]]);
  assert.deepEqual(fresh.adopt(), []);
  assert.equal(fresh.of("a").length, 2);
  left.forEach((edit) => fresh.settle(edit.session, edit.edit));
  assert.equal(storage.getItem("pointlib:folder:dddddd"), null);
  assert.equal(JSON.parse(storage.getItem("pointlib:another folder:eeeeee")).length, 3);
});

test("what a view that lives yet has added meanwhile stays kept", () => {
  const storage = new Storage();
  const [living, fresh] = outboxes(storage, "aaaaaa", "bbbbbb");
  living.add({ op: "undo" });
  fresh.adopt();
  living.add({ op: "redo" });
  fresh.settle("aaaaaa", 1);
  assert.deepEqual(JSON.parse(storage.getItem("pointlib:folder:aaaaaa")).map((edit) => edit.op), ["redo"]);
});

test("without storage, with a full one, with rubbish in it, edits still wait in memory", () => {
  class Full extends Storage {
    setItem() {
      throw new Error("QuotaExceededError");
    }
  }
  const full = Object.assign(new Full(), { "pointlib:folder:gggggg": "{not json" });
  for (const storage of [null, full]) {
    const [box] = outboxes(storage, "aaaaaa");
    assert.deepEqual(box.adopt(), []);
    box.add({ op: "undo" });
    assert.equal(box.size, 1);
    assert.equal(box.safe, false);
  }
});

test("suggestions hide below their threshold, near a point, near a rejected one of their class", () => {
  const rows = new Float32Array([10, 10, 0, 0.9, 50, 50, 1, 0.8, 90, 90, 0, 0.7, 120, 90, 0, 0.1]);
  const suggestions = js.readSuggestions(rows, ["weed", "crop"], [0.5, 0.6]);
  const a = record([point("s-1", 12, 10, "crop")]);
  js.applyEdit(a, { op: "reject", points: [{ id: "s-2", x: 50, y: 51, label: "weed" }] });
  const shown = (options) => js.visibleSuggestions(suggestions, a, { offset: 0, radius: 3, sameLabel: true, ...options }).map((g) => g.x);
  const sorted = (options) => shown(options).sort((x, y) => x - y);
  assert.deepEqual(sorted({}), [50, 90]);
  assert.deepEqual(sorted({ sameLabel: false }), [90]);
  assert.deepEqual(sorted({ offset: -0.5 }), [50, 90, 120]);
  assert.deepEqual(sorted({ offset: 0.205 }), []);
  assert.deepEqual(sorted({ radius: 1 }), [10, 50, 90]);
  assert.equal(suggestions[1].label, "crop");
});

test("at a spot the class farthest above its own threshold is suggested, the others wait behind it", () => {
  const rows = new Float32Array([10, 10, 0, 0.6, 11, 10, 1, 0.55, 12, 10, 2, 0.3, 40, 40, 1, 0.5, 41, 40, 0, 0.5]);
  const suggestions = js.readSuggestions(rows, ["a", "b", "c"], [0.5, 0.3, 0.1]);
  const heads = js.oneASpot(suggestions, { width: 100, height: 100 }, 3);
  assert.deepEqual(heads.map(({ label, others }) => [label, others.map((one) => one.label)]), [["b", ["c", "a"]], ["b", ["a"]]]);
  const same = js.oneASpot(js.readSuggestions(new Float32Array([9, 9, 1, 0.5, 9, 9, 0, 0.5]), ["a", "b"], [0.25, 0.25]), { width: 20, height: 20 }, 3);
  assert.deepEqual(same.map(({ label }) => label), ["a"]); // as far: the first class
});

test("a review begins with what is nearest to its threshold", () => {
  const rows = new Float32Array([1, 1, 0, 0.9, 2, 2, 0, 0.52, 3, 3, 0, 0.45, 4, 4, 0, 0.6]);
  const order = js.leastCertainFirst(js.readSuggestions(rows, ["a"], [0.5]));
  assert.deepEqual(order.map(({ x }) => x), [2, 3, 4, 1]);
});

test("blobs are reviewed from the faintest on, wherever the slider is", () => {
  const rows = new Float32Array([1, 1, 0, 0.3, 2, 2, 0, 0.2, 3, 3, 0, 0.9]);
  const blobs = js.readSuggestions(rows, ["a"], [0.3]);
  assert.deepEqual(js.leastCertainFirst(blobs, false).map((one) => one.x), [2, 1, 3]);
  assert.deepEqual(js.leastCertainFirst(blobs).map((one) => one.x), [1, 2, 3]);
});

test("at a spot all classes can be had: those found, the best first, then the others without a score", () => {
  const head = { id: "s", label: "b", x: 1, y: 1, score: 0.9, margin: 0.4,
    others: [{ id: "t", label: "c", x: 2, y: 1, score: 0.5 }, { id: "u", label: "c", x: 3, y: 1, score: 0.4 }] };
  const choices = js.choicesAt(head, ["a", "b", "c", "d"]);
  assert.deepEqual(choices.map(({ label, x, score }) => [label, x, score]), [["b", 1, 0.9], ["c", 2, 0.5], ["a", 1, null], ["d", 1, null]]);
  const c = js.shownAs(head, choices[1]);
  assert.deepEqual([c.id, c.label, c.x, c.score, c.margin, c.others.map((one) => one.label)], ["s", "c", 2, 0.5, 0.4, ["b"]]);
  const a = js.shownAs(head, choices[2]);
  assert.equal(js.pointWords(a), "a, or b 0.90, c 0.50, c 0.40 (c)");
});

test("of questions about the pointer only the newest counts, and one is under way", () => {
  const sent = [];
  const asker = new js.Asker((question) => sent.push(question));
  assert.ok(asker.want({ x: 1 }) && !asker.want({ x: 1 }));
  asker.next();
  asker.next();
  assert.deepEqual(sent, [{ x: 1, t: 1 }]);
  asker.want({ x: 2 });
  asker.want({ x: 3 });
  asker.next();
  asker.hear(1, "old");
  assert.equal(asker.answer, null);
  assert.deepEqual(sent.slice(1), [{ x: 3, t: 2 }]);
  asker.hear(1, "older");
  asker.hear(2, "new");
  assert.equal(asker.answer, "new");
  asker.want(null);
  assert.equal(asker.answer, null);
  asker.next();
  assert.equal(sent.length, 2);
  asker.want({ x: 3 });
  asker.next();
  assert.deepEqual(sent.slice(2), [{ x: 3, t: 3 }]);
});

test("a lost answer does not keep the next question from being asked", () => {
  const sent = [];
  const asker = new js.Asker((question) => sent.push(question.t));
  asker.want({ x: 1 });
  asker.next();
  asker.forget();
  asker.want({ x: 1 });
  asker.next();
  asker.hear(1, "late");
  assert.equal(asker.answer, null);
  asker.hear(2, "right");
  assert.deepEqual([sent, asker.answer], [[1, 2], "right"]);
});

test("a point and a suggestion say what they are", () => {
  assert.equal(js.pointWords({ label: "weed", source: "hand", score: null }), "weed");
  assert.equal(js.pointWords({ label: "weed", source: "ghost", score: 0.734 }), "weed, suggested at 0.73");
  assert.equal(js.pointWords({ label: "weed", score: 0.5, others: [{ label: "crop", score: 0.31 }] }), "weed 0.50, or crop 0.31 (c)");
});

test("the look-up table is left out where nothing changes, and rises otherwise", () => {
  assert.equal(js.makeLut({ brightness: 0, contrast: 0, gamma: 1 }), null);
  for (const settings of [{ brightness: 30, contrast: 0, gamma: 1 }, { brightness: 0, contrast: 60, gamma: 1 }, { brightness: 0, contrast: -60, gamma: 2.2 }]) {
    const lut = js.makeLut(settings);
    assert.equal(lut.length, 256);
    for (let i = 1; i < 256; i++) assert.ok(lut[i] >= lut[i - 1]);
  }
  const gamma = js.makeLut({ brightness: 0, contrast: 0, gamma: 2 });
  assert.deepEqual([gamma[0], gamma[64], gamma[255]], [0, 128, 255]);
  const pixels = Uint8ClampedArray.of(64, 0, 255, 77);
  js.applyLut(pixels, gamma);
  assert.deepEqual([...pixels], [128, 0, 255, 77]);
});

test("images per hour leave out breaks of more than a minute", () => {
  const rate = new js.Rate();
  [0, 50, 100, 4000, 4060].forEach((second) => rate.touch(second * 1000)); // 160 s of work
  assert.equal(rate.active, 160_000);
  ["a", "b", "b", "c"].forEach((name) => rate.change(name, "unlabelled", "labelled"));
  rate.change("c", "labelled", "unlabelled");
  assert.equal(rate.perHour(), 45);
  assert.equal(new js.Rate().perHour(), null);
});

test("of 10,000 thumbnails only those in view, and two more on each side, are made", () => {
  assert.deepEqual(js.stripWindow(0, 840, 10_000, 84), [0, 12]);
  assert.deepEqual(js.stripWindow(8400, 840, 10_000, 84), [98, 112]);
  assert.deepEqual(js.stripWindow(839_900, 840, 10_000, 84), [9996, 10_000]);
  assert.deepEqual(js.stripWindow(0, 840, 3, 84), [0, 3]);
});

test("the next unlabelled image is sought onwards and then from the start", () => {
  const states = ["unlabelled", "empty", "labelled", "unlabelled", "skipped"];
  assert.equal(js.nextUnlabelled(["labelled", "empty", "started"], 0), 2);
  assert.equal(js.nextUnlabelled(states, 0), 3);
  assert.equal(js.nextUnlabelled(states, 3), 0);
  assert.equal(js.nextUnlabelled(["empty", "labelled"], 0), -1);
});

test("the status is a sentence", () => {
  const now = { name: "a.png", index: 2, total: 40, classes: ["seedling", "weed"], counts: [30, 7], state: "started", waiting: 0 };
  assert.equal(js.statusSentence(now), "a.png (3 of 40), 37 points: 30 seedling, 7 weed, saved");
  assert.equal(js.statusSentence({ ...now, state: "labelled" }), "a.png (3 of 40), 37 points: 30 seedling, 7 weed, done, saved");
  assert.equal(js.statusSentence({ ...now, counts: [0, 1], waiting: 2 }), "a.png (3 of 40), 1 point: 1 weed, 2 edits waiting");
  assert.equal(js.statusSentence({ ...now, counts: [0, 0], state: "empty" }), "a.png (3 of 40), 0 points, empty, saved");
  assert.equal(js.statusSentence({ ...now, classes: ["point"], counts: [4] }), "a.png (3 of 40), 4 points, saved");
  assert.equal(js.thumbTitle("a.png", "labelled", ["seedling", "weed"], [3, 0]), "a.png: 3 points (3 seedling), done");
  assert.equal(js.thumbTitle("a.png", "started", ["weed"], [1]), "a.png: 1 point, not done");
  assert.equal(js.thumbTitle("a.png", "skipped", ["seedling", "weed"], [0, 0]), "a.png: skipped");
});

test("long names lose what all of them begin with, in whole words and numbers", () => {
  const plots = ["field_2026_plot_001.png", "field_2026_plot_002.png", "field_2026_plot_010.png"];
  assert.equal(js.shortName(plots[1], plots), "\u2026002");
  assert.equal(js.shortName("a_01.png", ["a_01.png", "a_02.png"]), "a_01");
  assert.equal(js.shortName(plots[0], [plots[0]]), "fi\u2026t_001");
  const cameras = ["north/IMG_0001.jpg", "north/IMG_0002.jpg", "south/IMG_0001.jpg"];
  assert.equal(new Set(cameras.map((name) => js.shortName(name, cameras))).size, 3);
  assert.equal(js.shortName("IMG20260501.jpg", ["IMG20260501.jpg", "IMG20260502.jpg"]), "IMG20260501");
});

const key = (name, more = {}) => ({ key: name, code: "", ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

test("keys have names", () => {
  assert.equal(js.keyName(key("Z", { ctrlKey: true, shiftKey: true })), "ctrl+shift+z");
  assert.equal(js.keyName(key("z", { metaKey: true })), "ctrl+z");
  assert.equal(js.keyName(key("?", { shiftKey: true })), "?");
  assert.equal(js.keyName(key(" ")), "space");
  assert.equal(js.keyName(key("D")), "d"); // caps lock
});

test("the key table has every key once, and each row says what it does", () => {
  const names = js.KEYS.flatMap((row) => row.keys ?? []).map((name) => name.toLowerCase());
  assert.equal(new Set(names).size, names.length);
  const wanted = "delete backspace ctrl+a ctrl+z ctrl+shift+z ctrl+y ctrl+s 1 9 r d a n e s f + - m g x , . enter escape space ? arrowleft shift+arrowup";
  for (const name of wanted.split(" ")) assert.ok(names.includes(name), name);
  for (const row of js.KEYS) assert.ok(row.group && row.show && row.text && !row.keys === !row.run, row.show);
});

test("keys of other layouts and alphabets work by their place", () => {
  const actionOf = (...args) => js.actionOf(key(...args));
  assert.equal(actionOf("\u0432", { code: "KeyD" }), actionOf("d"));
  assert.equal(actionOf("&", { code: "Digit1" }), actionOf("1"));
  assert.equal(actionOf("\u042f", { code: "KeyZ", ctrlKey: true, shiftKey: true }), actionOf("z", { ctrlKey: true, shiftKey: true }));
  assert.equal(actionOf("q", { code: "KeyA" }), undefined); // on a French keyboard q is q
  assert.equal(actionOf("d", { altKey: true }), undefined);
});

test("binary parts come as buffers or as base64", () => {
  const bytes = Uint8Array.of(9, 1, 2, 3, 9);
  assert.deepEqual([...js.payload({}, [new DataView(bytes.buffer, 1, 3)])[0]], [1, 2, 3]);
  assert.deepEqual([...js.payload({ data: ["AQID"] }, [])[0]], [1, 2, 3]);
  assert.deepEqual(js.payload({}, undefined), []);
});

test("of decoded pictures the last three used are kept, the others closed", () => {
  const closed = [];
  const recent = new js.Recent(3, (value) => closed.push(value));
  ["a", "b", "c"].forEach((name) => recent.set(name, name));
  recent.use("a");
  recent.set("d", "d");
  assert.deepEqual(closed, ["b"]);
  recent.set("a", "new a");
  recent.clear();
  assert.deepEqual(closed, ["b", "a", "c", "d", "new a"]);
});

test("72 classes are told apart by colour or shape, and every shape can be drawn", () => {
  const styles = Array.from({ length: 72 }, (_, i) => Object.values(js.styleOf(i)).join());
  assert.equal(new Set(styles).size, 72);
  for (const shape of js.SHAPES) {
    const reach = [];
    const ctx = { moveTo: (x, y) => reach.push(Math.hypot(x, y)), lineTo: (x, y) => reach.push(Math.hypot(x, y)), arc() {}, closePath() {} };
    js.traceShape(ctx, shape, 0, 0, 10);
    assert.ok(Math.max(...reach) >= 10 && Math.max(...reach) <= 15, shape);
  }
});

test("a stamp fills a square, and only what lies inside the picture", () => {
  const filled = (x, y) => {
    const pixels = new Uint32Array(6 * 4);
    js.stamp(pixels, 6, 4, x, y, 1, 7);
    return [...pixels].flatMap((ink, i) => (ink === 7 ? [i] : []));
  };
  assert.deepEqual(filled(3, 2), [8, 9, 14, 15]);
  assert.deepEqual(filled(0, 0), [0]);
  assert.deepEqual(filled(6, 4), [23]);
  assert.deepEqual(filled(-5, 2), []);
});

// ---------------------------------------------------------------------------- regions

const SIZE = { width: 100, height: 60 };

test("a rectangle is what is between two places, on the image, whichever way it was drawn", () => {
  const ring = [[10, 5], [40, 5], [40, 25], [10, 25]];
  assert.deepEqual(js.boxRing({ x: 10, y: 5 }, { x: 40, y: 25 }, SIZE), ring);
  assert.deepEqual(js.boxRing({ x: 40, y: 25 }, { x: 10, y: 5 }, SIZE), ring);
  assert.deepEqual(js.boxRing({ x: -9, y: -9 }, { x: 400, y: 400 }, SIZE), [[-0.5, -0.5], [99.5, -0.5], [99.5, 59.5], [-0.5, 59.5]]);
});

test("a rectangle stays one when a corner is dragged, a polygon moves that corner only", () => {
  const box = js.boxRing({ x: 10, y: 5 }, { x: 40, y: 25 }, SIZE);
  assert.deepEqual(js.withCorner(box, 2, { x: 50, y: 30 }), [[10, 5], [50, 5], [50, 30], [10, 30]]);
  const free = [[0, 0], [10, 2], [4, 9]];
  assert.deepEqual(js.withCorner(free, 1, { x: 20, y: 3 }), [[0, 0], [20, 3], [4, 9]]);
  assert.ok(js.isBox(box) && !js.isBox(free) && !js.isBox([[0, 0], [9, 1], [9, 9], [0, 9]]));
});

test("corners and outlines are found within reach, the nearest first", () => {
  const regions = new Map([["a", [js.boxRing({ x: 10, y: 10 }, { x: 30, y: 30 }, SIZE)]], ["b", [[[32, 30], [60, 30], [60, 50]]]]]);
  assert.equal(js.cornerAt(regions, { x: 31.5, y: 30 }, 3).id, "b");
  assert.deepEqual(js.cornerAt(regions, { x: 10, y: 29 }, 3).i, 3);
  assert.equal(js.cornerAt(regions, { x: 20, y: 20 }, 3), null);
  assert.equal(js.outlineAt(regions, { x: 20, y: 11 }, 2), "a");
  assert.equal(js.outlineAt(regions, { x: 20, y: 20 }, 2), null);
});

test("what is proposed holds all points, and half the usual gap around them", () => {
  const points = [[20, 20], [30, 20], [20, 30], [30, 30]].map(([x, y]) => ({ x, y }));
  assert.deepEqual(js.proposedRing(points, SIZE), js.boxRing({ x: 15, y: 15 }, { x: 35, y: 35 }, SIZE));
  assert.equal(js.usualGap([{ x: 1, y: 1 }]), 0);
});

test("regions are drawn, changed, removed, and go when the whole image is done", () => {
  const a = record([point("s-1", 1, 1)]);
  const rings = [[[0, 0], [9, 0], [9, 9]]];
  js.applyEdit(a, { op: "region", regions: [{ id: "r-1", rings }, { id: "r-2", rings }] });
  js.applyEdit(a, { op: "unregion", regions: [{ id: "r-2" }] });
  assert.deepEqual([...a.regions], [["r-1", rings]]);
  js.applyOutcome(a, { regions: [{ id: "r-3", rings }, { id: "r-1", rings: null }] });
  assert.deepEqual([...a.regions.keys()], ["r-3"]);
  js.applyEdit(a, { op: "mark", mark: "done", whole: true });
  assert.equal(a.regions.size, 0);
  assert.equal(a.state, "labelled");
});

test("the line on learning says what, when and how well, with its spread", () => {
  const now = Date.parse("2030-01-01T12:00:00Z");
  const facts = { is_on: true, share: null, why: "", points: 96, images: 3, f1: 0.838, error: 0.041, n_held: 31, time: "2030-01-01T11:57:30Z" };
  assert.equal(js.learningWords(facts, now), "Learnt from 96 points in 3 images, 2 min ago: F1 0.84 \u00b1 0.04 on 31 points held back.");
  assert.match(js.learningWords({ ...facts, share: 0.4 }, now), /^Learning \u2026 40 % Learnt from/);
  assert.match(js.learningWords({ ...facts, f1: null }, now), /nothing is held back yet/);
  const before = { ...facts, points: null };
  assert.match(js.learningWords(before, now), /^Learns from 20 points on/);
  assert.equal(js.learningWords({ ...before, is_on: false }, now), "");
  assert.equal(js.learningWords({ ...before, why: "Not learnt: no." }, now), "Not learnt: no.");
  assert.deepEqual(["11:59:59", "11:20:00", "09:00:00"].map((t) => js.ago(`2030-01-01T${t}Z`, now)), ["just now", "40 min ago", "3 hours ago"]);
  assert.equal(js.ago("2029-12-20T12:00:00Z", now), "12 days ago");
});

test("an undo says what it changed, and where", () => {
  const before = new Map([["a", { x: 10, y: 20 }], ["b", { x: 30, y: 40 }]]);
  const gone = js.whatChanged({ changes: [{ id: "a", point: null }, { id: "b", point: null }] }, before);
  assert.deepEqual(gone, { place: { x: 20, y: 30 }, words: "2 points removed" });
  const back = js.whatChanged({ changes: [{ id: "c", point: { x: 5, y: 6 } }] }, before);
  assert.deepEqual(back, { place: { x: 5, y: 6 }, words: "1 point brought back" });
  const moved = js.whatChanged({ changes: [{ id: "a", point: { x: 1, y: 2 } }] }, before);
  assert.equal(moved.words, "1 point changed");
  const region = js.whatChanged({ changes: [], regions: [{ id: "r", rings: [[[0, 0], [4, 0], [4, 2], [0, 2]]] }] }, before);
  assert.deepEqual(region, { place: { x: 2, y: 1 }, words: "1 region changed" });
  assert.deepEqual(js.whatChanged({ changes: [], state: "started" }, before), { place: null, words: "now started" });
});
