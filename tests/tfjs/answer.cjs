// Answer images with a model as TensorFlow.js loads it: node answer.cjs FOLDER IMAGES.f32 ANSWERS.f32
"use strict";
const fs = require("node:fs");
const { floats, load, tf } = require("./model.cjs");

(async () => {
  const [folder, images, answers] = process.argv.slice(2);
  const model = await load(folder);
  const shape = model.inputs[0].shape.slice(1);
  const values = floats(images);
  const n = values.length / shape.reduce((a, b) => a * b, 1);
  const probabilities = model.predict(tf.tensor(values, [n, ...shape]), { batchSize: 100 });
  fs.writeFileSync(answers, Buffer.from(probabilities.dataSync().buffer));
  process.stdout.write(tf.version.tfjs);
})();
