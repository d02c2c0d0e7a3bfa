// Run the page's code of a how-to: node how_to.cjs PAGE.md URL IMAGE.u8 prints the digit.
"use strict";
const fs = require("node:fs");
const { tf } = require("./model.cjs");

const [page, url, image] = process.argv.slice(2);
const code = fs.readFileSync(page, "utf8").match(/```js\n([\s\S]*?)```/)[1];
const readDigit = new Function("tf", `${code}; return readDigit;`)(tf);
readDigit(url, new Uint8Array(fs.readFileSync(image))).then((digit) => process.stdout.write(String(digit)));
