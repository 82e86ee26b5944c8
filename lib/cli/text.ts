/** How the commands write numbers, times and tables. */

export function bytesText(bytes: number): string {
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ] as const) {
    if (bytes >= size) return `${(bytes / size).toFixed(bytes >= 100 * size ? 0 : 2)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}

export const rateText = (bytesPerSecond: number): string => `${bytesText(bytesPerSecond)}/s`;

export function secondsText(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}

export const countText = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** How long ago, in the largest whole unit. */
export function agoText(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** Names come from files and from other processes: nothing in them may steer the terminal. */
export const plain = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );

/** No name of a weight set or a lock is longer. */
const longest = 256;

/** Files may hold names and values of megabytes: on a terminal their beginning is enough. */
export function shortened(text: string): string {
  if (text.length <= longest) return text;
  // Not half a character at the end.
  return `${text.slice(0, longest - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** Columns as wide as their widest cell; those that start with a digit in every row stand to the right. */
export function tableText(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows.map((row) => row.map((cell) => plain(shortened(cell))))];
  const columns = header.map((_, column) => ({
    // There may be more rows than a function takes arguments.
    width: cells.reduce((width, row) => Math.max(width, row[column]!.length), 0),
    numeric: rows.length > 0 && rows.every((row) => /^\d/.test(row[column]!)),
  }));
  return cells
    .map((row) =>
      row
        .map((cell, i) =>
          columns[i]!.numeric ? cell.padStart(columns[i]!.width) : cell.padEnd(columns[i]!.width),
        )
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
