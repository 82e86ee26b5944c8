/**
 * V8 compiles what has been called some times in batches, and starts on one when enough has come together. What a
 * rehearsal leaves of the last would be compiled in the middle of whatever completes it: the attach, as a rule. This is
 * enough by itself. Where a program allows no code to be made from text it does nothing.
 */
export function compileRest(): void {
  try {
    const long = new Function("n", `${"n = n * 31 + 1;".repeat(200)} return n;`) as (n: number) => number;
    for (let calls = 0; calls < 20; calls++) long(calls);
  } catch {}
}
