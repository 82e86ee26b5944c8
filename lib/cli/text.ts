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

/** Columns as wide as their widest cell; those that start with a digit in every row stand to the right. */
export function tableText(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows.map((row) => row.map(plain))];
  const columns = header.map((_, column) => ({
    width: Math.max(...cells.map((row) => row[column]!.length)),
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
