// Loading and saving models in a folder, as @tensorflow/tfjs-node's file:// does, which needs a compiled library.
"use strict";
console.log = console.warn = () => {};
const fs = require("node:fs");
const path = require("node:path");
const tf = require("@tensorflow/tfjs");

function floats(file) {
  const bytes = fs.readFileSync(file);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

function load(folder) {
  const json = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const readWeights = async (manifest) => {
    const shards = manifest.flatMap((group) => group.paths.map((name) => fs.readFileSync(path.join(folder, name))));
    return [manifest.flatMap((group) => group.weights), new Uint8Array(Buffer.concat(shards)).buffer];
  };
  return tf.loadLayersModel({ load: () => tf.io.getModelArtifactsForJSON(json, readWeights) });
}

// model.save by the library's own handler for servers; the request is answered here.
async function save(model, folder) {
  fs.mkdirSync(folder, { recursive: true });
  const fetchFunc = async (_, { body }) => {
    for (const [, file] of body.entries()) {
      fs.writeFileSync(path.join(folder, file.name), Buffer.from(await file.arrayBuffer()));
    }
    return { ok: true, status: 200 };
  };
  await model.save(tf.io.http("http://localhost/", { fetchFunc }));
}

module.exports = { floats, load, save, tf };
