// Answer images with a TensorFlow.js layers model: node asking_tfjs.cjs FOLDER IMAGES.f32 ANSWERS.f32 SHAPE
// It prints the version. Exit code 3 means that @tensorflow/tfjs is not installed where node looks for it.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const [folder, imagesPath, answersPath, shape] = process.argv.slice(2);
const places = [process.cwd(), ...(process.env.NODE_PATH || "").split(path.delimiter).filter(Boolean)];
let tf;
try {
  // Its greeting would stand between the answers.
  console.log = console.warn = () => {};
  tf = require(require.resolve("@tensorflow/tfjs", { paths: places }));
} catch (error) {
  process.exit(error.code === "MODULE_NOT_FOUND" ? 3 : 1);
}

async function main() {
  await tf.setBackend("cpu");
  const document = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const readWeights = async (manifest) => {
    const specs = manifest.flatMap((group) => group.weights);
    const shards = manifest.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(folder, name))));
    return [specs, new Uint8Array(Buffer.concat(shards)).buffer];
  };
  const model = await tf.loadLayersModel({ load: () => tf.io.getModelArtifactsForJSON(document, readWeights) });
  const bytes = fs.readFileSync(imagesPath);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const images = tf.tensor(values, [-1, ...JSON.parse(shape)].map((n, i, all) =>
    i ? n : values.length / all.slice(1).reduce((a, b) => a * b, 1)));
  fs.writeFileSync(answersPath, Buffer.from(model.predict(images, { batchSize: 64 }).dataSync().buffer));
  process.stdout.write(`@tensorflow/tfjs ${tf.version.tfjs} under Node ${process.version}`);
}

main().catch((error) => {
  process.stderr.write(String(error.message || error));
  process.exit(1);
});
