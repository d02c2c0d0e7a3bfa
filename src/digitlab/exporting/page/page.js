// Page: what is drawn or chosen is framed and answered, and the answer is shown. Nothing leaves the page.
"use strict";
(() => {
  const { calibrated, decoded, frame, network, pad, picture, model, settings } = globalThis.digitlab;
  const { temperature, refuseAbove, labels, knowsNotADigit } = settings;
  const MOST_PX = 160; // longest side of a picture that is looked at
  const byId = (id) => document.getElementById(id);
  const answers = network(model, decoded(globalThis.digitlab.weights));
  const sheet = pad(byId("pad"), () => {
    source = null;
    soon();
  });
  let [source, isAsked, telling] = [null, false, 0]; // source: an image chosen from the disk, or null for what is drawn

  /** Answer a 28 x 28 image, or null for none: the label, null for no digit, and all probabilities. */
  function answer(image) {
    if (!image) return { label: null, probabilities: labels.map((_, k) => (knowsNotADigit && k === labels.length - 1 ? 1 : 0)) };
    const probabilities = Array.from(calibrated(answers.predict(image), temperature, knowsNotADigit ? refuseAbove : 0.5));
    const digits = knowsNotADigit ? probabilities.slice(0, -1) : probabilities;
    const isRefused = knowsNotADigit && probabilities.at(-1) > 0.5;
    return { label: isRefused ? null : digits.indexOf(Math.max(...digits)), probabilities };
  }

  function soon() {
    if (!isAsked) requestAnimationFrame(show);
    isAsked = true;
  }

  function show() {
    isAsked = false;
    const image = source ? source.image ?? (source.ink && frame(source.ink)) : sheet.isEmpty() ? null : frame(sheet.ink());
    const { label, probabilities } = (globalThis.digitlab.shown = answer(image ?? null));
    const sure = percent(label === null ? probabilities.at(-1) : probabilities[label]);
    const none = source ? source.fault ?? "No digit here: in this picture no ink stands out." : "No digit here. Draw one on the sheet.";
    const says = label !== null ? `This is ${labels[label]}, ${sure} sure.` : image ? `No digit here, ${sure} sure.` : none;
    byId("label").textContent = label === null ? "–" : labels[label];
    byId("label").classList.toggle("is-long", label !== null && labels[label].length > 2);
    byId("says").textContent = says;
    [...byId("bars").children].forEach((row, k) => {
      const p = probabilities[k];
      row.classList.toggle("is-best", Boolean(image) && k === (label ?? labels.length - 1));
      row.querySelector("i").style.transform = `scaleX(${p})`;
      row.lastElementChild.textContent = percent(p);
    });
    byId("hint").hidden = Boolean(source) || !sheet.isEmpty();
    byId("chosen").hidden = !source || Boolean(source.fault);
    for (const id of ["undo", "clear"]) byId(id).disabled = id === "undo" ? sheet.isEmpty() || source : sheet.isEmpty() && !source;
    seen(image);
    // Screen readers are told when the pen rests, not with every move.
    clearTimeout(telling);
    telling = setTimeout(() => (byId("told").textContent = says), 700);
  }

  function percent(p) {
    if (p > 0.9995) return p < 1 ? ">99.9 %" : "100 %";
    return p < 0.0005 ? "0 %" : `${(100 * p).toFixed(1)} %`;
  }

  /** Show the 28 x 28 pixels that the network sees. */
  function seen(image) {
    const pixels = new ImageData(28, 28);
    for (let i = 0; i < 784; i += 1) pixels.data.fill(Math.round(255 * (image?.[i] ?? 0)), 4 * i, 4 * i + 3).fill(255, 4 * i + 3, 4 * i + 4);
    byId("seen").getContext("2d").putImageData(pixels, 0, 0);
  }

  async function choose(file) {
    if (!file) return;
    sheet.clear();
    try {
      const bitmap = await createImageBitmap(file);
      const scale = Math.min(1, MOST_PX / Math.max(bitmap.width, bitmap.height));
      const small = byId("chosen");
      [small.width, small.height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
      const pen = small.getContext("2d", { willReadFrequently: true });
      pen.imageSmoothingQuality = "high";
      pen.drawImage(bitmap, 0, 0, small.width, small.height);
      source = picture(pen.getImageData(0, 0, small.width, small.height));
      soon();
    } catch {
      source = { fault: `${file.name} is not a picture that this browser opens.` };
      soon();
    }
  }

  for (const id of ["undo", "clear"]) {
    byId(id).addEventListener("click", () => {
      sheet[id]();
      if (sheet.isEmpty()) byId("pad").focus(); // the button cannot be pressed any more
    });
  }
  byId("file").addEventListener("change", async ({ target }) => {
    await choose(target.files[0]);
    target.value = ""; // the same file may be chosen again
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || byId("undo").disabled) return;
    event.preventDefault();
    sheet.undo();
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    choose(event.dataTransfer.files[0]);
  });

  byId("bars").append(...labels.map((name) => {
    const row = byId("bar").content.firstElementChild.cloneNode(true);
    row.firstElementChild.textContent = name;
    return row;
  }));
  byId("about").textContent = settings.about;
  globalThis.digitlab = { ...globalThis.digitlab, answer, sheet };
  show();
})();
