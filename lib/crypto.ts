/** node:crypto, loaded by its first use: that takes longer than all of this library. */
export function crypto(): typeof import("node:crypto") {
  return require("node:crypto");
}
