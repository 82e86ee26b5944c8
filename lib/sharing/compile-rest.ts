import { validators } from "../wire/validators.js";

/** Of a check that fails at once: so many that V8 takes the function for one that is worth compiling. */
const calls = 1000;

/**
 * V8 compiles what has been called some times in batches, and starts on one when enough has come together. What a
 * rehearsal leaves of the last would be compiled in the middle of whatever completes it: the attach, as a rule. The
 * longest of the generated checks is enough by itself.
 */
export function compileRest(): void {
  const long = validators.client.offer!;
  for (let call = 0; call < calls; call++) long({});
}
