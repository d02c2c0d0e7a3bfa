// Ask a network of digitlab in TensorFlow.js, under Node.
//
//     digitlab export latest --format tfjs --out digits
//     npm install @tensorflow/tfjs
//     node examples/tensorflowjs.cjs digits image.u8
//
// image.u8 holds 784 bytes, 28 rows of 28 pixels, ink bright on dark. In a page, tf.loadLayersModel("digits/model.json")
// does what load() does here; TensorFlow.js under Node reads no files without a compiled library.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const tf = require("@tensorflow/tfjs");

function load(folder) {
  const json = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const readWeights = async (manifest) => {
    const files = manifest.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(folder, name))));
    return [manifest.flatMap((group) => group.weights), new Uint8Array(Buffer.concat(files)).buffer];
  };
  return tf.loadLayersModel({ load: () => tf.io.getModelArtifactsForJSON(json, readWeights) });
}

async function main(folder, image) {
  const model = await load(folder);
  const pixels = new Uint8Array(fs.readFileSync(image));
  const probabilities = await model.predict(tf.tensor(pixels, [1, 28, 28, 1]).div(255)).data();
  const digit = probabilities.indexOf(Math.max(...probabilities));
  console.log(`${digit}, with a probability of ${probabilities[digit].toFixed(3)}`);
}

const [folder, image] = process.argv.slice(2);
if (image === undefined) {
  console.error("Usage: node examples/tensorflowjs.cjs FOLDER IMAGE.u8");
  process.exit(2);
}
main(folder, image);
