// One source map for a file that was put together out of others. Node knows no index maps (those with sections).
const { decode, encode } = require("@jridgewell/sourcemap-codec");

/** `parts`: the first line of each in the file, and its map. In their order, and none reaches into the next. */
exports.joinSourceMaps = (file, parts) => {
  const sources = [];
  const names = [];
  const lines = [];
  for (const { line, map } of parts) {
    while (lines.length < line) lines.push([]);
    // A segment: a column, and where it comes from, by the number of the source, and of a name.
    const [firstSource, firstName] = [sources.length, names.length];
    for (const segments of decode(map.mappings)) {
      lines.push(
        segments.map(([column, source, ...place]) => {
          if (source === undefined) return [column];
          const [row, at, name] = place;
          const origin = [column, firstSource + source, row, at];
          return name === undefined ? origin : [...origin, firstName + name];
        }),
      );
    }
    sources.push(...map.sources);
    names.push(...map.names);
  }
  return { version: 3, file, sources, names, mappings: encode(lines) };
};
