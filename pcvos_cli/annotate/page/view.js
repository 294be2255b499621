// The frame and its masks on a canvas: zoom, pan, and what a tool draws over them.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.masks = document.createElement("canvas");
    this.zoom = 1; // Times the size at which the whole frame fits.
    this.centre = [0, 0];
    this.picture = null;
    this.labels = null;
    this.frame = null;
    this.objects = new Map();
    this.boxes = new Map();
    this.hidden = false;
    this.draw = () => {}; // What a tool adds; set by it.
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  resize(width, height) {
    [this.width, this.height] = [width, height];
    [this.masks.width, this.masks.height] = [width, height];
    this.centre = [width / 2, height / 2];
    this.pixels = new ImageData(width, height);
  }

  /** Picture and mask of one frame come together, so neither is ever seen with another's. */
  show(frame, picture, labels) {
    [this.frame, this.picture] = [frame, picture];
    this.canvas.dataset.frame = frame;
    this.setLabels(labels);
  }

  setLabels(labels) {
    this.labels = labels;
    this.colour();
    this.paint();
  }

  setObjects(objects) {
    this.objects = new Map(objects.map((o) => [o.id, o]));
    if (this.labels) { this.colour(); this.paint(); }
  }

  /** Colour the pixels of a rectangle, all by default: translucent inside, solid at the edge. */
  colour(left = 0, top = 0, right = this.width, bottom = this.height) {
    const { width, height, labels } = this;
    const inner = new Uint32Array(256), edge = new Uint32Array(256);
    for (const o of this.objects.values()) {
      if (!o.shown) continue;
      const rgb = parseInt(o.colour.slice(1), 16);
      const bgr = ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
      inner[o.id] = ((90 << 24) | bgr) >>> 0;
      edge[o.id] = ((255 << 24) | bgr) >>> 0;
    }
    const out = new Uint32Array(this.pixels.data.buffer);
    const step = Math.max(1, Math.round(Math.min(width, height) / 400));
    [left, top] = [Math.max(0, left - step), Math.max(0, top - step)];
    [right, bottom] = [Math.min(width, right + step), Math.min(height, bottom + step)];
    const whole = left === 0 && top === 0 && right === width && bottom === height;
    if (whole) this.boxes.clear();
    for (let y = top; y < bottom; y++) {
      for (let x = left, i = y * width + left; x < right; x++, i++) {
        const id = labels[i];
        if (!id) { out[i] = 0; continue; }
        const isEdge = (x >= step && labels[i - step] !== id) || (x + step < width && labels[i + step] !== id)
          || (y >= step && labels[i - step * width] !== id) || (y + step < height && labels[i + step * width] !== id);
        out[i] = isEdge ? edge[id] : inner[id];
        if (whole) {
          const box = this.boxes.get(id);
          if (!box) this.boxes.set(id, [x, y, x, y]);
          else { if (x < box[0]) box[0] = x; if (x > box[2]) box[2] = x; box[3] = y; }
        }
      }
    }
    const context = this.masks.getContext("2d");
    context.putImageData(this.pixels, 0, 0, left, top, right - left, bottom - top);
  }

  get scale() {
    return this.zoom * Math.min(this.canvas.clientWidth / this.width, this.canvas.clientHeight / this.height);
  }

  /** Pixel of the frame under a place of the canvas. */
  toFrame(x, y) {
    return [
      (x - this.canvas.clientWidth / 2) / this.scale + this.centre[0],
      (y - this.canvas.clientHeight / 2) / this.scale + this.centre[1],
    ];
  }

  zoomAt(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.toFrame(x, y);
    this.zoom = Math.min(40, Math.max(1, this.zoom * factor));
    const after = this.toFrame(x, y);
    this.pan(after[0] - before[0], after[1] - before[1]);
  }

  /** Move by pixels of the frame, and no further than its edge. */
  pan(dx, dy) {
    const half = [this.canvas.clientWidth / this.scale / 2, this.canvas.clientHeight / this.scale / 2];
    const size = [this.width, this.height];
    this.centre = [this.centre[0] - dx, this.centre[1] - dy].map((c, i) =>
      2 * half[i] >= size[i] ? size[i] / 2 : Math.min(size[i] - half[i], Math.max(half[i], c)));
    this.paint();
  }

  fit() {
    this.zoom = 1;
    this.pan(0, 0);
  }

  paint() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paintNow(); });
  }

  paintNow() {
    const { canvas, context, scale } = this;
    const ratio = devicePixelRatio;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      [canvas.width, canvas.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, w, h);
    if (!this.picture) return;
    const corner = [w / 2 - this.centre[0] * scale, h / 2 - this.centre[1] * scale];
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * corner[0], ratio * corner[1]);
    context.imageSmoothingEnabled = scale < 4;
    context.drawImage(this.picture, 0, 0, this.width, this.height);
    if (!this.hidden) {
      context.imageSmoothingEnabled = scale < 2;
      context.drawImage(this.masks, 0, 0);
      this.tags(scale);
    }
    this.draw(context, 1 / scale);
  }

  /** Names beside the objects, so that nobody has to go by the colour. */
  tags(scale) {
    const { context } = this;
    context.font = `600 ${12 / scale}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    for (const [id, [left, top]] of this.boxes) {
      const object = this.objects.get(id);
      if (!object?.shown) continue;
      const width = context.measureText(object.name).width;
      const [x, y] = [Math.min(left, this.width - width - 12 / scale), Math.max(top, 18 / scale)];
      context.fillStyle = "rgb(0 0 0 / 70%)";
      context.fillRect(x, y - 17 / scale, width + 18 / scale, 16 / scale);
      context.fillStyle = object.colour;
      context.fillRect(x + 3 / scale, y - 13 / scale, 8 / scale, 8 / scale);
      context.fillStyle = "#fff";
      context.fillText(object.name, x + 14 / scale, y - 2 / scale);
    }
  }
}
