// Train a small Sequential for two epochs, save it, and answer: node train.cjs FOLDER IMAGES.f32 LABELS.u8 ANSWERS.f32
"use strict";
const fs = require("node:fs");
const { floats, save, tf } = require("./model.cjs");

(async () => {
  const [folder, images, labels, answers] = process.argv.slice(2);
  const model = tf.sequential();
  model.add(tf.layers.reshape({ inputShape: [28, 28], targetShape: [28, 28, 1] }));
  model.add(tf.layers.conv2d({ filters: 3, kernelSize: 3, useBias: false }));
  model.add(tf.layers.batchNormalization());
  model.add(tf.layers.leakyReLU({ alpha: 0.1 }));
  model.add(tf.layers.gaussianNoise({ stddev: 0.05 }));
  model.add(tf.layers.averagePooling2d({ poolSize: 2 }));
  model.add(tf.layers.dropout({ rate: 0.1 }));
  model.add(tf.layers.zeroPadding2d({ padding: [1, 0] }));
  model.add(tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: "same", activation: "tanh" }));
  model.add(tf.layers.maxPooling2d({ poolSize: 2, strides: 2, padding: "same" }));
  model.add(tf.layers.batchNormalization());
  model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 10, activation: "softmax", kernelInitializer: "varianceScaling" }));
  model.compile({ optimizer: tf.train.adam(0.01), loss: "categoricalCrossentropy" });
  const values = floats(images);
  const x = tf.tensor(values, [values.length / 784, 28, 28]);
  const y = tf.oneHot(tf.tensor1d(Uint8Array.from(fs.readFileSync(labels)), "int32"), 10);
  await model.fit(x, y, { epochs: 2, batchSize: 32 });
  await save(model, folder);
  fs.writeFileSync(answers, Buffer.from(model.predict(x).dataSync().buffer));
})();
