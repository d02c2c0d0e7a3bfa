// Pad: a square sheet to draw one digit on, with mouse, finger, pen or arrow keys. Its opacity is the ink.
"use strict";
(() => {
  const SIDE = 280; // of the ink that is answered, in pixels; more tell no more
  const PEN = 0.062; // width of the pen, and the steps of the keyboard: parts of the sheet's side
  const STEP = 1 / 40;

  /** Let people draw on a canvas; `changed` is called with every move. */
  function pad(canvas, changed) {
    let strokes = [];
    let [pointer, cursor, isDown] = [null, null, false];
    const sheet = document.createElement("canvas");
    [sheet.width, sheet.height] = [SIDE, SIDE];

    const edited = () => {
      draw();
      changed();
    };
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };

    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || pointer !== null) return;
      canvas.setPointerCapture(event.pointerId);
      [pointer, cursor] = [event.pointerId, null];
      strokes.push([point(event)]);
      edited();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      strokes.at(-1).push(...(events.length ? events : [event]).map(point));
      edited();
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => {
        if (event.pointerId === pointer) pointer = null;
      });
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());

    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      const step = event.shiftKey ? STEP / 4 : STEP;
      cursor = (cursor ?? [0.5, 0.5]).map((at, k) => Math.min(Math.max(at + step * move[k], 0), 1));
      if (event.key === " ") {
        isDown = !isDown;
        if (isDown) strokes.push([]);
      }
      if (!isDown) return draw();
      strokes.at(-1).push(cursor);
      edited();
    });
    canvas.addEventListener("blur", () => {
      [cursor, isDown] = [null, false];
      draw();
    });

    function trace(pen, side, color) {
      pen.strokeStyle = color;
      pen.lineCap = pen.lineJoin = "round";
      pen.lineWidth = PEN * side;
      for (const [first, ...rest] of strokes) {
        pen.beginPath();
        pen.moveTo(first[0] * side, first[1] * side);
        for (const [x, y] of rest.length ? rest : [first]) pen.lineTo(x * side + 0.01, y * side);
        pen.stroke();
      }
    }

    function draw() {
      const scale = window.devicePixelRatio || 1;
      const side = Math.round(canvas.clientWidth * scale);
      if (canvas.width !== side || canvas.height !== side) [canvas.width, canvas.height] = [side, side];
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, side, side);
      const style = getComputedStyle(canvas);
      trace(pen, side, style.color);
      if (!cursor) return;
      pen.strokeStyle = style.getPropertyValue("--accent");
      pen.lineWidth = 2 * scale;
      pen.beginPath();
      pen.arc(cursor[0] * side, cursor[1] * side, (isDown ? 7 : 11) * scale, 0, 7);
      pen.stroke();
    }

    new ResizeObserver(draw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

    return {
      isEmpty: () => !strokes.length,
      undo() {
        strokes.pop();
        isDown = false;
        edited();
      },
      clear() {
        [strokes, isDown] = [[], false];
        edited();
      },
      /** What is drawn, as a glyph. */
      ink() {
        const pen = sheet.getContext("2d", { willReadFrequently: true });
        pen.clearRect(0, 0, SIDE, SIDE);
        trace(pen, SIDE, "#000");
        const { data } = pen.getImageData(0, 0, SIDE, SIDE);
        return { width: SIDE, height: SIDE, ink: Float32Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i + 3] / 255) };
      },
    };
  }

  globalThis.digitlab = { ...globalThis.digitlab, pad };
})();
