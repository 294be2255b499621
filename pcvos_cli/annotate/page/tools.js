// What the pointer, or the cross that the keyboard moves, does on the frame.

export const TOOLS = [
  { id: "pan", key: "V", name: "Pan", text: "Move the picture. The wheel zooms; the middle button pans with every tool." },
  { id: "box", key: "B", name: "Box", text: "Draw a box around an object, and it is cut out." },
  { id: "plus", key: "C", name: "Click: object", text: "Click what belongs to the object. The right button takes away." },
  { id: "minus", key: "X", name: "Click: not object", text: "Click what does not belong to the object." },
  { id: "brush", key: "D", name: "Brush", text: "Draw the object, in front of all others." },
  { id: "eraser", key: "E", name: "Eraser", text: "Erase the selected object." },
  { id: "fill", key: "F", name: "Fill", text: "Fill a hole, or give a region to the selected object." },
  { id: "polygon", key: "G", name: "Polygon", text: "Click corners; Enter or a double click closes, Esc drops it, Backspace takes one back." },
];
const DRAGS = new Set(["pan", "box", "brush", "eraser"]);

export class Tools {
  constructor(app, view) {
    Object.assign(this, { app, view, id: "box", start: null, at: null, cross: null, points: [] });
    this.pointers = new Map();
    view.draw = (context, unit) => this.draw(context, unit);
    const on = (name, run) => view.canvas.addEventListener(name, run);
    on("pointerdown", (e) => this.pointerDown(e));
    on("pointermove", (e) => this.pointerMove(e));
    on("pointerup", (e) => this.pointerUp(e));
    on("pointercancel", (e) => { this.pointers.delete(e.pointerId); this.cancel(); });
    on("pointerleave", () => { this.at = null; view.paint(); });
    on("dblclick", () => this.close());
    on("contextmenu", (e) => e.preventDefault());
    on("wheel", (e) => {
      e.preventDefault();
      view.zoomAt(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)), e.offsetX, e.offsetY);
    });
  }

  select(id) {
    this.cancel();
    this.id = id;
    this.view.canvas.style.cursor = id === "pan" ? "grab" : "crosshair";
    this.app.changed();
  }

  get busy() { return this.start !== null && this.id !== "pan"; }

  pointerDown(e) {
    this.view.canvas.focus({ preventScroll: true });
    this.cross = null;
    this.pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
    if (this.pointers.size === 2) { this.cancel(); return; }
    this.view.canvas.setPointerCapture(e.pointerId);
    this.panning = e.button === 1 || this.id === "pan";
    if (this.panning) { e.preventDefault(); return; }
    if (e.button === 0 || e.button === 2) this.down(...this.view.toFrame(e.offsetX, e.offsetY), e.button === 2 || e.altKey);
  }

  pointerMove(e) {
    const before = this.pointers.get(e.pointerId), now = [e.offsetX, e.offsetY];
    if (before && this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== e.pointerId)[1];
      const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      this.view.zoomAt(apart(now) / Math.max(1, apart(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      this.view.pan((now[0] - before[0]) / 2 / this.view.scale, (now[1] - before[1]) / 2 / this.view.scale);
    } else if (before && this.panning) {
      this.view.pan((now[0] - before[0]) / this.view.scale, (now[1] - before[1]) / this.view.scale);
    } else {
      this.move(...this.view.toFrame(...now));
    }
    if (before) this.pointers.set(e.pointerId, now);
  }

  pointerUp(e) {
    this.pointers.delete(e.pointerId);
    if (!this.panning) this.up(...this.view.toFrame(e.offsetX, e.offsetY));
    this.panning = false;
  }

  /** Move the cross by pixels of the screen. */
  moveCross(dx, dy) {
    const { view } = this;
    const [x, y] = this.cross ?? view.centre;
    const clamp = (value, size) => Math.min(size - 1, Math.max(0, value));
    this.cross = [clamp(x + dx / view.scale, view.width), clamp(y + dy / view.scale, view.height)];
    this.move(...this.cross);
  }

  /** Use the tool at the cross: a drag begins with one Enter and ends with the next. */
  enter() {
    if (this.id === "polygon" && this.points.length > 2 && (!this.cross || this.isLast(this.cross))) this.close();
    else if (!this.cross) this.moveCross(0, 0);
    else if (this.start && DRAGS.has(this.id)) this.up(...this.cross);
    else {
      this.down(...this.cross, false);
      if (!DRAGS.has(this.id)) this.up(...this.cross);
    }
  }

  isLast(at) {
    const last = this.points.at(-1);
    return Math.hypot(last[0] - at[0], last[1] - at[1]) * this.view.scale < 3;
  }

  async down(x, y, other) {
    if (!this.app.mayEdit()) return;
    this.start = [x, y];
    if (this.id === "brush" || this.id === "eraser") {
      const object = this.app.object ?? (await this.app.addObject());
      if (!this.start || object === null) return;
      this.stroke = { before: this.view.labels.slice(), object, erase: this.id === "eraser" || other, last: [x, y] };
      this.stamp(x, y);
    } else if (this.id === "plus" || this.id === "minus") {
      this.app.prompt({ click: [Math.floor(x), Math.floor(y), (this.id === "plus") !== other] });
    } else if (this.id === "fill") {
      this.fill(Math.floor(x), Math.floor(y));
    } else if (this.id === "polygon") {
      this.points.push([x, y]);
    }
    this.view.paint();
  }

  move(x, y) {
    this.at = [x, y];
    if (this.stroke) this.stamp(x, y);
    this.view.paint();
  }

  up(x, y) {
    const { start, stroke } = this;
    this.start = this.stroke = null;
    if (stroke) {
      this.app.commit(this.view.frame, stroke.before, this.view.labels);
    } else if (start && this.id === "box") {
      const [left, right] = [start[0], x].sort((a, b) => a - b).map(Math.round);
      const [top, bottom] = [start[1], y].sort((a, b) => a - b).map(Math.round);
      if (right - left > 2 && bottom - top > 2) this.app.prompt({ box: [left, top, right - left, bottom - top] });
    }
    this.view.paint();
  }

  /** Drop what is being drawn. */
  cancel() {
    if (this.stroke) this.view.setLabels(this.stroke.before);
    this.start = this.stroke = null;
    this.points = [];
    this.view.paint();
  }

  back() {
    this.points.pop();
    this.view.paint();
  }

  stamp(x, y) {
    const { view, stroke } = this;
    const { width, height, labels } = view;
    const radius = Math.max(0.5, this.app.brush / 2);
    const [x0, y0] = stroke.last;
    const steps = Math.max(1, Math.ceil(Math.hypot(x - x0, y - y0) / Math.max(1, radius / 3)));
    for (let s = 1; s <= steps; s++) {
      const cx = x0 + ((x - x0) * s) / steps, cy = y0 + ((y - y0) * s) / steps;
      for (let row = Math.max(0, Math.ceil(cy - radius - 0.5)); row < Math.min(height, cy + radius); row++) {
        const half = Math.sqrt(Math.max(0, radius ** 2 - (row + 0.5 - cy) ** 2));
        for (let column = Math.max(0, Math.ceil(cx - half - 0.5)); column < Math.min(width, cx + half); column++) {
          const i = row * width + column;
          if (!stroke.erase) labels[i] = stroke.object;
          else if (labels[i] === stroke.object) labels[i] = 0;
        }
      }
    }
    stroke.last = [x, y];
    const [left, right] = [x0, x].sort((a, b) => a - b), [top, bottom] = [y0, y].sort((a, b) => a - b);
    view.colour(Math.floor(left - radius), Math.floor(top - radius), Math.ceil(right + radius) + 1, Math.ceil(bottom + radius) + 1);
    view.paint();
  }

  async fill(x, y) {
    const { width, height, labels, frame } = this.view;
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const object = this.app.object ?? (await this.app.addObject());
    const old = labels[y * width + x];
    if (object === null || old === object) return;
    const after = labels.slice(), stack = [y * width + x];
    let filled = 0;
    while (stack.length) {
      const i = stack.pop();
      if (after[i] !== old) continue;
      after[i] = object;
      filled++;
      const column = i % width;
      if (column > 0) stack.push(i - 1);
      if (column < width - 1) stack.push(i + 1);
      if (i >= width) stack.push(i - width);
      if (i < labels.length - width) stack.push(i + width);
    }
    if (old === 0 && filled > labels.length / 2) {
      this.app.say("That would fill more than half of the frame: close the outline first.");
    } else {
      this.view.setLabels(after);
      this.app.commit(frame, labels, after);
    }
  }

  /** Fill the polygon. */
  async close() {
    const points = this.points;
    if (this.id !== "polygon" || points.length < 3) return;
    this.points = [];
    const object = this.app.object ?? (await this.app.addObject());
    if (object === null) return;
    const { width, height, labels, frame } = this.view;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    context.fill("evenodd");
    const { data } = context.getImageData(0, 0, width, height);
    const after = labels.slice();
    for (let i = 0; i < after.length; i++) if (data[4 * i + 3] >= 128) after[i] = object;
    this.view.setLabels(after);
    this.app.commit(frame, labels, after);
  }

  /** Draw what the tool shows; ``unit`` is a pixel of the screen. */
  draw(context, unit) {
    const twice = (path) => { // Dark and bright, to be seen on any picture.
      context.lineWidth = 3 * unit;
      context.strokeStyle = "rgb(0 0 0 / 70%)";
      path();
      context.lineWidth = 1.3 * unit;
      context.strokeStyle = "#fff";
      path();
    };
    const { at, start, points } = this;
    if (this.id === "box" && start && at) twice(() => context.strokeRect(start[0], start[1], at[0] - start[0], at[1] - start[1]));
    if (at && (this.id === "brush" || this.id === "eraser")) {
      twice(() => { context.beginPath(); context.arc(...at, this.app.brush / 2, 0, 7); context.stroke(); });
    }
    if (points.length) {
      twice(() => { context.beginPath(); [...points, at ?? points[0]].forEach((p) => context.lineTo(...p)); context.stroke(); });
      for (const [x, y] of points) { context.fillStyle = "#fff"; context.fillRect(x - 3 * unit, y - 3 * unit, 6 * unit, 6 * unit); }
    }
    for (const [x, y, positive] of this.app.clicks()) {
      context.beginPath();
      context.arc(x + 0.5, y + 0.5, 7 * unit, 0, 7);
      context.fillStyle = positive ? "#009e73" : "#fff";
      context.fill();
      context.lineWidth = 2 * unit;
      context.strokeStyle = positive ? "#fff" : "#000";
      context.beginPath();
      context.moveTo(x + 0.5 - 4 * unit, y + 0.5);
      context.lineTo(x + 0.5 + 4 * unit, y + 0.5);
      if (positive) { context.moveTo(x + 0.5, y + 0.5 - 4 * unit); context.lineTo(x + 0.5, y + 0.5 + 4 * unit); }
      context.stroke();
    }
    if (this.cross) {
      const [x, y] = this.cross;
      twice(() => {
        context.beginPath();
        context.moveTo(x - 14 * unit, y); context.lineTo(x + 14 * unit, y);
        context.moveTo(x, y - 14 * unit); context.lineTo(x, y + 14 * unit);
        context.stroke();
      });
    }
  }
}
