// The lists and buttons beside the picture.

import { act } from "./api.js";
import { TOOLS } from "./tools.js";

const byId = (id) => document.getElementById(id);
const SIZES = ["auto", 240, 360, 480, 720, null];

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

const iconButton = (name, title, onclick, more = {}) => element("button", { title, "aria-label": title, onclick, ...more }, icon(name));

export class Panels {
  constructor(app) {
    this.app = app;
    this.makeTools();
    const run = (id, what) => byId(id).addEventListener("click", () => app.attempt(what));
    run("add", () => app.addObject());
    run("forward", () => app.propagate("forward"));
    run("backward", () => app.propagate("backward"));
    run("stop", () => act("stop"));
    run("export", () => app.export());
    run("copy", () => this.copy());
    const choose = (id, value) => byId(id).addEventListener("change", (e) => app.attempt(() => act("choose", value(e.target))));
    choose("interval", (input) => ({ interval: input.valueAsNumber }));
    choose("size", (input) => ({ size: input.value === "auto" ? "auto" : input.value ? Number(input.value) : null }));
    choose("model", (input) => ({ model: input.value }));
    choose("both", (input) => ({ backward: input.checked }));
    choose("formats", () => ({ formats: [...byId("formats").querySelectorAll("input:checked")].map((i) => i.value) }));
  }

  makeTools() {
    const { app } = this;
    const bar = byId("tools");
    for (const tool of TOOLS) {
      bar.append(iconButton(tool.id, `${tool.name} (${tool.key}): ${tool.text}`, () => app.tools.select(tool.id), { id: `tool-${tool.id}` }));
      byId(`tool-${tool.id}`).append(element("kbd", {}, tool.key));
    }
    const size = element("input", { id: "brush", type: "number", min: 1, max: 500, value: app.brush, title: "Width of brush and eraser, in pixels ( [ and ] )", onchange: (e) => app.setBrush(e.target.valueAsNumber) });
    bar.append(
      element("label", {}, "Brush", size),
      element("hr", {}),
      iconButton("undo", "Undo (Ctrl+Z)", () => app.undo(), { id: "undo" }),
      iconButton("redo", "Redo (Ctrl+Shift+Z)", () => app.redo(), { id: "redo" }),
      element("hr", {}),
      iconButton("fit", "Show the whole frame (0)", () => app.view.fit(), { id: "fit" }),
      iconButton("eye", "Hide and show all masks (H)", () => app.toggleMasks(), { id: "masks" }),
    );
  }

  show() {
    const { app } = this;
    const { state } = app;
    const may = app.mayEdit(false);
    byId("video").textContent = `${state.video.name}, ${state.video.width} × ${state.video.height}`;
    for (const tool of TOOLS) byId(`tool-${tool.id}`).setAttribute("aria-pressed", app.tools.id === tool.id);
    byId("masks").setAttribute("aria-pressed", app.view.hidden);
    byId("undo").disabled = !may || !app.past.length;
    byId("redo").disabled = !may || !app.future.length;
    byId("brush").value = app.brush;
    byId("add").disabled = !may;
    this.showObjects(may);
    this.showJob(may);
    const { interval, size, model, formats, backward } = state.settings;
    if (document.activeElement !== byId("interval")) byId("interval").value = interval;
    const sizes = SIZES.includes(size) ? SIZES : [size, ...SIZES];
    byId("size").replaceChildren(...sizes.map((s) => new Option(s ?? "native", s ?? "", false, s === size)));
    byId("model").replaceChildren(...state.choices.model.map((m) => new Option(m, m, false, m === model)));
    if (!byId("formats").querySelector("input")) {
      for (const name of state.choices.formats) byId("formats").append(element("label", {}, element("input", { type: "checkbox", value: name }), name));
    }
    for (const input of byId("formats").querySelectorAll("input")) input.checked = formats.includes(input.value);
    byId("both").checked = backward;
    for (const input of document.querySelectorAll("aside select, aside details input, #formats input, #both")) input.disabled = !may;
    byId("command").textContent = state.command;
  }

  showObjects(may) {
    const { app } = this;
    const focused = document.activeElement?.dataset?.key;
    const change = (id, values) => app.attempt(() => act("change_object", { id, ...values }));
    byId("objects").replaceChildren(...app.state.objects.map((o) => {
      const key = (name) => ({ "data-key": `${o.id}-${name}`, disabled: !may });
      const ends = o.ends.map((end) => element("div", { className: "ends" }, `ends on frame ${end}`,
        element("button", { ...key(`end${end}`), title: "It does not end there", "aria-label": `${o.name} does not end on frame ${end}`, onclick: () => change(o.id, { ends: o.ends.filter((e) => e !== end) }) }, "×")));
      return element("li", { className: o.id === app.object ? "selected" : "", onclick: () => app.selectObject(o.id) },
        element("input", { type: "color", value: o.colour, ...key("colour"), title: `Colour of ${o.name}`, "aria-label": `Colour of ${o.name}`, onchange: (e) => change(o.id, { colour: e.target.value }) }),
        element("input", { type: "text", value: o.name, maxLength: 80, ...key("name"), title: `Object ${o.id} (key ${o.id})`, "aria-label": `Name of object ${o.id}`, onfocus: () => app.selectObject(o.id), onchange: (e) => change(o.id, { name: e.target.value }) }),
        iconButton(o.shown ? "eye" : "hidden", o.shown ? `Hide ${o.name}` : `Show ${o.name}`, () => change(o.id, { shown: !o.shown }), key("shown")),
        iconButton("ends", `${o.name} ends here: it is gone after this frame`, () => app.endHere(o), key("ends")),
        iconButton("delete", `Delete ${o.name}`, () => app.deleteObject(o), key("delete")), ...ends);
    }));
    if (focused) document.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  showJob(may) {
    const { job } = this.app.state;
    byId("job").hidden = job.kind === null;
    for (const id of ["forward", "backward", "export"]) byId(id).disabled = job.kind !== null || !may;
    if (job.kind === null) return;
    byId("progress").max = job.total;
    if (job.done) byId("progress").value = job.done;
    else byId("progress").removeAttribute("value");
    const what = { forward: "Forward", backward: "Backward", export: "Export" }[job.kind];
    byId("job-text").textContent = job.passing != null ? `${what}: at frame ${job.passing}, on the way` : job.done ? `${what}: ${job.done} of ${job.total}${job.fps ? `, ${job.fps} FPS` : ""}` : `${what}: loading the model`;
    byId("stop").disabled = !may;
  }

  async copy() {
    const code = byId("command");
    try {
      await navigator.clipboard.writeText(code.textContent);
      this.app.say("The command is on the clipboard.");
    } catch { // Not allowed here: leave it selected, for Ctrl+C.
      getSelection().selectAllChildren(code);
      this.app.say("The command is selected: Ctrl+C copies it.");
    }
  }
}
