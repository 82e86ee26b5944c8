// test/children/asking.cjs, for this process.
import { createRequire } from "node:module";
import type { NativeAddon } from "../../dist/lib/native.js";

type AskByParts = (parts?: Pick<NativeAddon, "tryConnect" | "watchGrants">) => NativeAddon["ask"];

export const askByParts = createRequire(__filename)("../children/asking.cjs") as AskByParts;
