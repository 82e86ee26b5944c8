// Imported first by main.ts: the driver comes up on the addon's threads while the rest of the program is read.
import { native } from "../native.js";

native.dieWithParent();
// Whoever needs it hears of a failure.
native.devices().catch(() => {});
