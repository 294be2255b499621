// The page: what it knows, and what a person can do with it.

import { RequestError, act, claim, decodeRuns, encodeRuns, getMask, getPicture, getState, listen, page, prompt, putMask } from "./api.js";
import { keys } from "./keys.js";
import { Panels } from "./panels.js";
import { Frames, Timeline } from "./timeline.js";
import { TOOLS, Tools } from "./tools.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);
const STEPS = 60; // That can be undone.
const PICTURES = 40; // Kept in the page.

const app = {
  state: null, frame: 0, object: null, brush: 24, editor: page, playing: false, follow: false,
  masked: new Frames([]), past: [], future: [], prompts: new Map(), unsaved: new Map(),
  pictures: new Map(), loads: 0, asking: 0, asked: Promise.resolve(), saving: Promise.resolve(),

  get size() { return this.state.video.width * this.state.video.height; },

  // What is shown ---------------------------------------------------------------------------

  changed() {
    if (!this.state) return;
    if (!this.state.objects.some((o) => o.id === this.object)) this.object = this.state.objects.at(-1)?.id ?? null;
    this.panels.show();
    this.timeline.show();
    const tool = TOOLS.find((t) => t.id === this.tools.id);
    byId("hint").textContent = this.asking ? "Looking for the object…" : this.state.objects.length ? `${tool.name}: ${tool.text}` : "Draw a box around an object (B), or click it (C).";
    byId("status").textContent = this.unsaved.size ? "Saving…" : "All is saved";
    if (!this.mayEdit(false)) this.fail(new Error("Another page edits this video. This one only shows it."), "Edit here", () => claim());
    else if (this.banner === "editor") this.calm();
  },

  setState(state) {
    if (this.state && this.state.video.counted !== state.video.counted) {
      this.pictures.clear(); // The video is damaged: its frames have other numbers than was thought.
      this.state = state;
      this.show(this.frame);
    }
    this.state = state;
    this.masked = new Frames(state.masked);
    this.view.setObjects(state.objects);
    this.changed();
  },

  say(text) {
    byId("status").textContent = text;
  },

  fail(error, action, run) {
    byId("banner").hidden = false;
    this.banner = action === "Edit here" ? "editor" : "error";
    const words = [error.message, error.hint].filter(Boolean).map((w) => w[0].toUpperCase() + w.slice(1).replace(/\.$/, "") + ".");
    byId("banner-text").textContent = words.join(" ");
    byId("banner-act").hidden = !action;
    byId("banner-act").textContent = action ?? "";
    byId("banner-act").onclick = () => { this.calm(); this.attempt(run); };
  },

  calm() {
    byId("banner").hidden = true;
    this.banner = null;
  },

  /** Do something that may fail, and say so if it does. */
  async attempt(what) {
    try {
      return await what();
    } catch (error) {
      if (!(error instanceof RequestError)) console.error(error);
      this.fail(error);
      this.changed();
      return null;
    }
  },

  /** Load a frame and its mask; what arrives after another was asked for is dropped. */
  async show(frame) {
    this.frame = Math.min(this.state.video.frames - 1, Math.max(0, frame));
    this.changed();
    const load = ++this.loads;
    await this.attempt(async () => {
      const wanted = this.frame;
      const [picture, labels] = await Promise.all([this.picture(wanted), this.labels(wanted)]);
      if (load === this.loads) this.view.show(wanted, picture, labels);
    });
    return load === this.loads;
  },

  picture(frame) {
    if (!this.pictures.has(frame)) {
      const picture = getPicture(frame);
      picture.catch(() => this.pictures.delete(frame));
      this.pictures.set(frame, picture);
      for (const old of this.pictures.keys()) if (this.pictures.size > PICTURES) this.pictures.delete(old);
    }
    return this.pictures.get(frame);
  },

  async labels(frame) {
    await this.saving;
    return this.unsaved.get(frame)?.labels.slice() ?? getMask(frame, this.size);
  },

  /** Go to a frame because a person wants to. */
  visit(frame) {
    this.follow = false;
    if (this.tools.busy) return null;
    this.tools.cancel();
    return this.show(frame);
  },

  /** Read the mask of the shown frame again, unless something is being drawn on it. */
  async refresh() {
    const frame = this.view.frame;
    if (this.tools.busy || this.asking || this.unsaved.size || frame !== this.frame) return;
    const load = this.loads;
    const labels = await this.attempt(() => getMask(frame, this.size));
    if (labels && load === this.loads && !this.tools.busy && !this.asking && !this.unsaved.size) this.view.setLabels(labels);
  },

  /** Show the newest mask, one after the other: a slow page leaves some out. */
  async chase() {
    if (this.chasing) return;
    this.chasing = true;
    while (this.follow && this.frame !== this.newest) await this.show(this.newest);
    this.chasing = false;
  },

  async togglePlay() {
    this.playing = !this.playing;
    this.changed();
    while (this.playing && this.frame < this.state.video.frames - 1) {
      const began = performance.now();
      this.picture(Math.min(this.frame + 2, this.state.video.frames - 1)).catch(() => {});
      if ((await this.visit(this.frame + 1)) !== true) break;
      await new Promise((done) => setTimeout(done, Math.max(0, 1000 / this.state.video.fps - (performance.now() - began))));
    }
    this.playing = false;
    this.changed();
  },

  toggleMasks() {
    this.view.hidden = !this.view.hidden;
    this.view.paint();
    this.changed();
  },

  setBrush(size) {
    this.brush = Math.min(500, Math.max(1, Math.round(size) || 1));
    this.changed();
    this.view.paint();
  },

  // What is edited --------------------------------------------------------------------------

  mayEdit(tell = true) {
    const may = this.editor === page || this.editor === null;
    if (!may && tell) this.changed();
    return may;
  },

  selectObject(id) {
    if (id === this.object || !this.state.objects.some((o) => o.id === id)) return;
    this.object = id;
    for (const li of byId("objects").children) li.classList.toggle("selected", this.state.objects[[...byId("objects").children].indexOf(li)].id === id);
    this.view.paint();
  },

  async addObject() {
    const id = await this.attempt(() => act("add_object"));
    if (id !== null) { this.object = id; this.changed(); }
    return id;
  },

  async deleteObject(object) {
    byId("ask-text").textContent = `Delete ${object.name} from all frames? This cannot be undone.`;
    byId("ask").returnValue = "no";
    byId("ask").showModal();
    await new Promise((done) => byId("ask").addEventListener("close", done, { once: true }));
    if (byId("ask").returnValue !== "yes") return;
    await this.attempt(() => act("delete_object", { id: object.id }));
    [this.past, this.future] = [[], []]; // They may hold the object.
    this.refresh();
  },

  endHere(object) {
    const ends = [...new Set([...object.ends, this.frame])].sort((a, b) => a - b);
    this.attempt(() => act("change_object", { id: object.id, ends }));
  },

  /** Clicks on the shown frame for the selected object. */
  clicks() {
    return this.prompts.get(`${this.view.frame}:${this.object}`)?.clicks ?? [];
  },

  /** Have the selected object cut out by a box, or by one more click. */
  prompt(by) {
    const { frame } = this.view;
    this.asking++;
    this.changed();
    this.asked = this.asked.then(async () => {
      await this.attempt(() => this.ask(frame, by));
      this.asking--;
      this.changed();
    });
  },

  async ask(frame, { box, click }) {
    const object = this.object ?? (await this.addObject());
    if (object === null) return;
    const key = `${frame}:${object}`, known = this.prompts.get(key);
    const asked = box ? { box, clicks: [] } : { box: known?.box ?? null, clicks: [...(known?.clicks ?? []), click] };
    const before = await this.labels(frame);
    const after = await prompt(frame, { object, ...asked }, this.size);
    this.prompts.set(key, asked);
    this.remember({ frame, before, after, key, known, asked });
    if (this.view.frame === frame) this.view.setLabels(after);
  },

  /** Keep a mask that was drawn: it makes its frame a reference. */
  commit(frame, before, after) {
    this.remember({ frame, before, after });
    this.save(frame, after.slice(), true);
    this.view.setLabels(after);
  },

  remember({ frame, before, after, ...rest }) {
    const wasReference = String(frame) in this.state.references;
    this.past.push({ frame, before: encodeRuns(before), after: encodeRuns(after), wasReference, isReference: true, ...rest });
    if (this.past.length > STEPS) this.past.shift();
    this.future = [];
    this.state.references[frame] ??= []; // The server's word of it may come later.
  },

  save(frame, labels, reference) {
    this.unsaved.set(frame, { labels, reference });
    this.saving = this.saving.then(() => this.write());
    this.changed();
  },

  /** Write what is unsaved. What cannot be written stays here, and is tried again. */
  async write() {
    for (const [frame, kept] of this.unsaved) {
      try {
        await putMask(frame, kept.labels, kept.reference);
        if (this.unsaved.get(frame) === kept) this.unsaved.delete(frame);
      } catch (error) {
        this.fail(new RequestError(`Frame ${frame} is not saved: ${error.message}`, error.hint), "Try again", () => { this.saving = this.write(); });
        break;
      }
    }
    this.changed();
  },

  undo() { this.step("past", "future", "before", "wasReference", "known"); },
  redo() { this.step("future", "past", "after", "isReference", "asked"); },

  async step(from, to, which, reference, asked) {
    if (!this.mayEdit() || this.tools.busy) return;
    await this.asked; // A prompt that is under way drops the future: look at both afterwards.
    const entry = this[from].pop();
    if (!entry) return;
    this[to].push(entry);
    const labels = decodeRuns(entry[which].buffer, this.size);
    if (entry.key) {
      if (entry[asked]) this.prompts.set(entry.key, entry[asked]);
      else this.prompts.delete(entry.key);
    }
    this.save(entry.frame, labels, entry[reference]);
    if (this.view.frame === entry.frame) this.view.setLabels(labels.slice());
    else await this.visit(entry.frame);
  },

  toggleReference() {
    const { frame, labels } = this.view;
    if (!this.mayEdit() || frame !== this.frame) return;
    const isReference = String(frame) in this.state.references;
    if (!isReference && !labels.some((id) => id)) { this.fail(new Error(`Frame ${frame} has no mask to keep.`)); return; }
    this.past.push({ frame, before: encodeRuns(labels), after: encodeRuns(labels), wasReference: isReference, isReference: !isReference });
    this.future = [];
    this.save(frame, labels.slice(), !isReference);
  },

  async propagate(direction) {
    const to = byId("to").value === "" ? null : byId("to").valueAsNumber;
    await this.saving;
    [this.follow, this.newest] = [true, this.frame];
    await act("propagate", { direction, start: this.frame, to });
  },

  async export() {
    await this.saving;
    byId("export-text").textContent = "";
    await act("export");
  },
};

const on = {
  open: async () => {
    const state = await app.attempt(getState);
    if (!state) return;
    if (app.banner === "error") app.calm();
    if (app.unsaved.size) app.saving = app.write();
    const first = app.state === null;
    if (first) app.view.resize(state.video.width, state.video.height);
    app.setState(state);
    if (first) await app.show(Math.min(...Object.keys(state.references).map(Number), state.video.frames - 1) * (Object.keys(state.references).length > 0));
    else app.refresh();
  },
  editor: ({ page: editor }) => { app.editor = editor; app.changed(); },
  state: ({ state }) => { app.setState(state); app.refresh(); },
  progress: ({ job, frame }) => {
    if (!app.state) return;
    app.state.job = job;
    app.panels.showJob(app.mayEdit(false));
    if (frame === null) return;
    app.masked.all.add(frame);
    app.timeline.paint();
    app.newest = frame;
    if (frame === app.frame) app.refresh();
    else app.chase();
  },
  done: ({ job, stopped, failed, frames }) => {
    if (job !== "export") app.say(`${frames} frames${stopped ? ", then stopped" : ""}`);
    else if (!failed) byId("export-text").textContent = stopped ? "Stopped." : "Done: see the folder export.";
  },
  error: ({ error, hint }) => app.fail(new RequestError(error, hint)),
};

app.view = new View(byId("view"));
app.tools = new Tools(app, app.view);
app.panels = new Panels(app);
app.timeline = new Timeline(app);
keys(app);
byId("banner-close").addEventListener("click", () => app.calm());
addEventListener("beforeunload", (e) => { if (app.unsaved.size) e.preventDefault(); });
listen(on, () => app.fail(new Error("The server does not answer. Is pcvos annotate still running in the terminal?")));
