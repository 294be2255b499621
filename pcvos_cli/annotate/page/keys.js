// Every key, and the page that lists them.

import { act } from "./api.js";
import { TOOLS } from "./tools.js";

export function keys(app) {
  const { view, tools } = app;
  const list = [
    ...TOOLS.map((tool) => [tool.key.toLowerCase(), tool.key, `${tool.name}. ${tool.text}`, () => tools.select(tool.id)]),
    ["[", "[ ]", "A smaller or larger brush", () => app.setBrush(app.brush / 1.25)],
    ["]", "", "", () => app.setBrush(app.brush * 1.25)],
    ["ctrl+z", "Ctrl Z", "Undo", () => app.undo()],
    ["ctrl+shift+z", "Ctrl Shift Z", "Redo", () => app.redo()],
    ["ctrl+y", "", "", () => app.redo()],
    ["arrowleft", "← →", "The frame before, the next one (Shift: by 10)", () => app.visit(app.frame - 1)],
    ["arrowright", "", "", () => app.visit(app.frame + 1)],
    ["shift+arrowleft", "", "", () => app.visit(app.frame - 10)],
    ["shift+arrowright", "", "", () => app.visit(app.frame + 10)],
    ["home", "Home End", "The first frame, the last one", () => app.visit(0)],
    ["end", "", "", () => app.visit(app.state.video.frames - 1)],
    [" ", "Space", "Play and pause", () => app.togglePlay()],
    [",", ", .", "Propagate backward, forward", () => app.attempt(() => app.propagate("backward"))],
    [".", "", "", () => app.attempt(() => app.propagate("forward"))],
    ["s", "S", "Stop", () => app.attempt(() => act("stop"))],
    ["r", "R", "This frame is a reference, or is none", () => app.toggleReference()],
    ["n", "N", "New object", () => app.attempt(() => app.addObject())],
    ...Array.from({ length: 9 }, (_, i) => [`${i + 1}`, i ? "" : "1…9", "Select an object", () => app.selectObject(i + 1)]),
    ["h", "H", "Hide and show all masks", () => app.toggleMasks()],
    ["+", "+ −", "Zoom (or the wheel, or two fingers)", () => view.zoomAt(1.25)],
    ["=", "", "", () => view.zoomAt(1.25)],
    ["-", "", "", () => view.zoomAt(0.8)],
    ["0", "0", "Show the whole frame", () => view.fit()],
    ["alt+arrowleft", "Alt ←↑→↓", "Move a cross over the frame (Shift: faster)", () => tools.moveCross(-4, 0)],
    ["alt+arrowright", "", "", () => tools.moveCross(4, 0)],
    ["alt+arrowup", "", "", () => tools.moveCross(0, -4)],
    ["alt+arrowdown", "", "", () => tools.moveCross(0, 4)],
    ["alt+shift+arrowleft", "", "", () => tools.moveCross(-32, 0)],
    ["alt+shift+arrowright", "", "", () => tools.moveCross(32, 0)],
    ["alt+shift+arrowup", "", "", () => tools.moveCross(0, -32)],
    ["alt+shift+arrowdown", "", "", () => tools.moveCross(0, 32)],
    ["enter", "Enter", "Use the tool at the cross; a box or a stroke ends with the next Enter", () => tools.enter()],
    ["backspace", "", "", () => tools.back()],
    ["escape", "Esc", "Drop what is being drawn", () => tools.cancel()],
    ["?", "?", "This list", () => showHelp()],
  ];
  const runs = new Map(list.map(([key, , , run]) => [key, run]));
  const help = document.getElementById("help");
  for (const [, shown, text] of list) {
    if (!shown) continue;
    const row = document.getElementById("keys").insertRow();
    const head = document.createElement("th");
    for (const key of shown.split(" ")) {
      const kbd = document.createElement("kbd");
      kbd.textContent = key;
      head.append(kbd, " ");
    }
    row.append(head);
    row.insertCell().textContent = text;
  }
  const showHelp = () => help.showModal();
  document.getElementById("help-open").addEventListener("click", showHelp);
  addEventListener("keydown", (e) => {
    if (document.querySelector("dialog[open]") || !app.state) return;
    const { tagName, type } = e.target;
    if (tagName === "SELECT" || (tagName === "INPUT" && !["range", "checkbox"].includes(type))) return;
    if (["Enter", " "].includes(e.key) && (tagName === "BUTTON" || tagName === "SUMMARY" || type === "checkbox")) return;
    const plain = e.key.length === 1 && !e.ctrlKey && !e.metaKey; // Its Shift is in the key.
    const key = [(e.ctrlKey || e.metaKey) && "ctrl", e.altKey && "alt", e.shiftKey && !plain && "shift", e.key.toLowerCase()].filter(Boolean).join("+");
    const run = runs.get(key);
    if (run) { e.preventDefault(); run(); }
  });
}
