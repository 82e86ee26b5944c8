// One source map for a file that was put together out of others. Node knows no index maps (those with sections).
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The numbers of one segment: base64 digits of five bits, the lowest first; the sign is the lowest bit of all. */
function decode(segment) {
  const numbers = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = digits.indexOf(character);
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return numbers;
}

function encode(numbers) {
  let text = "";
  for (const number of numbers) {
    let rest = number < 0 ? (-number << 1) | 1 : number << 1;
    do {
      text += digits[(rest & 31) | (rest > 31 ? 32 : 0)];
      rest >>>= 5;
    } while (rest > 0);
  }
  return text;
}

/** `parts`: the first line of each in the file, and its map. In their order, and none reaches into the next. */
exports.joinSourceMaps = (file, parts) => {
  const joined = { version: 3, file, sources: [], names: [], mappings: "" };
  const lines = [];
  // A segment says its source, line, column and name by what they are more than in the segment before.
  let end = [0, 0, 0, 0];
  for (const { line, map } of parts) {
    while (lines.length < line) lines.push("");
    let at = [0, 0, 0, 0];
    let offset = [joined.sources.length - end[0], -end[1], -end[2], joined.names.length - end[3]];
    let named = false;
    for (const text of map.mappings.split(";")) {
      const segments = text.split(",").filter((segment) => segment !== "");
      const moved = segments.map((segment) => {
        const [column, ...deltas] = decode(segment);
        at = at.map((value, i) => value + (deltas[i] ?? 0));
        const first = deltas.map((delta, i) => {
          const extra = i === 3 && named ? 0 : offset[i];
          return delta + extra;
        });
        if (deltas.length > 0) offset = [0, 0, 0, offset[3]];
        if (deltas.length > 3) named = true;
        return encode([column, ...first]);
      });
      lines.push(moved.join(","));
    }
    end = [joined.sources.length + at[0], at[1], at[2], named ? joined.names.length + at[3] : end[3]];
    joined.sources.push(...map.sources);
    joined.names.push(...map.names);
  }
  joined.mappings = lines.join(";");
  return joined;
};
