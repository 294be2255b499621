// The frames below the picture: which have masks, which are references, where objects end.

const byId = (id) => document.getElementById(id);

export class Timeline {
  constructor(app) {
    this.app = app;
    this.strip = byId("strip");
    byId("seek").addEventListener("input", (e) => app.visit(e.target.valueAsNumber));
    byId("frame").addEventListener("change", (e) => app.visit(e.target.valueAsNumber || 0));
    byId("play").addEventListener("click", () => app.togglePlay());
    byId("reference").addEventListener("click", () => app.toggleReference());
    const seek = (e) => {
      const share = e.offsetX / this.strip.clientWidth;
      app.visit(Math.floor(share * app.state.video.frames));
    };
    this.strip.addEventListener("pointerdown", (e) => { this.strip.setPointerCapture(e.pointerId); seek(e); });
    this.strip.addEventListener("pointermove", (e) => { if (e.buttons) seek(e); });
    new ResizeObserver(() => this.paint()).observe(this.strip);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  show() {
    const { state, frame } = this.app;
    const last = state.video.frames - 1;
    for (const input of [byId("seek"), byId("frame"), byId("to")]) input.max = last;
    if (document.activeElement !== byId("frame")) byId("frame").value = frame;
    byId("seek").value = frame;
    byId("frames").textContent = `of ${last}`;
    const playing = this.app.playing;
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    byId("play").querySelector("use").setAttribute("href", playing ? "#i-pause" : "#i-play");
    const isReference = String(frame) in state.references;
    byId("reference").setAttribute("aria-pressed", isReference);
    byId("reference").textContent = isReference ? "Is a reference" : "Make reference";
    byId("reference").disabled = !this.app.mayEdit(false);
    this.paint();
  }

  paint() {
    const { state, frame } = this.app;
    if (!state) return;
    const ratio = devicePixelRatio, [w, h] = [this.strip.clientWidth, this.strip.clientHeight];
    [this.strip.width, this.strip.height] = [w * ratio, h * ratio];
    const context = this.strip.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => { context.fillStyle = style.getPropertyValue(`--${name}`); };
    const x = (f) => (f / state.video.frames) * w;
    colour("line");
    context.fillRect(0, h - 6, w, 6);
    colour("masked");
    for (const [first, last] of this.app.masked.ranges()) context.fillRect(x(first), h - 6, Math.max(1, x(last + 1) - x(first)), 6);
    colour("ends");
    for (const end of state.objects.flatMap((o) => o.ends)) context.fillRect(x(end + 1) - 1, 2, 3, h - 2);
    colour("reference");
    for (const f of Object.keys(state.references).map(Number)) {
      context.beginPath();
      context.moveTo(x(f + 0.5) - 5, 1);
      context.lineTo(x(f + 0.5) + 5, 1);
      context.lineTo(x(f + 0.5), h - 7);
      context.fill();
    }
    colour("text");
    context.fillRect(x(frame + 0.5) - 1, 0, 2, h);
  }
}

/** A set of frames that is told and drawn as ranges. */
export class Frames {
  constructor(ranges) {
    this.all = new Set();
    for (const [first, last] of ranges) for (let f = first; f <= last; f++) this.all.add(f);
  }

  ranges() {
    const found = [];
    for (const f of [...this.all].sort((a, b) => a - b)) {
      if (found.length && found.at(-1)[1] === f - 1) found.at(-1)[1] = f;
      else found.push([f, f]);
    }
    return found;
  }
}
