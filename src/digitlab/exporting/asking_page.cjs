// Answer images with an exported page's own scripts: node asking_page.cjs FOLDER IMAGES.f32 ANSWERS.f32
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const [folder, imagesPath, answersPath] = process.argv.slice(2);
try {
  for (const name of ["weights.js", "frame.js", "network.js"]) {
    vm.runInThisContext(fs.readFileSync(path.join(folder, name), "utf8"), { filename: name });
  }
  const { network, decoded, model, weights } = globalThis.digitlab;
  const { predict } = network(model, decoded(weights));
  const bytes = fs.readFileSync(imagesPath);
  const images = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const answers = [];
  for (let at = 0; at < images.length; at += 784) answers.push(...predict(images.slice(at, at + 784)));
  fs.writeFileSync(answersPath, Buffer.from(Float32Array.from(answers).buffer));
  process.stdout.write(`the page's JavaScript under Node ${process.version}`);
} catch (error) {
  process.stderr.write(String(error.message || error));
  process.exitCode = 1;
}
