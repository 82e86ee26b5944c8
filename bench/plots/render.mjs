// Draws Vega-Lite specifications as SVG, without a browser: node render.mjs < {"file": spec, ...}
// An ES module on its own, because vega is one that CommonJS cannot require.
import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { parse, View } from "vega";
import { compile } from "vega-lite";

for (const [file, spec] of Object.entries(JSON.parse(await text(process.stdin)))) {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  await writeFile(file, `${await view.toSVG()}\n`);
  view.finalize();
}
