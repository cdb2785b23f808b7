// The shared worker: one hub for every tab of this origin.

import { Hub } from "./hub.js";

const hub = new Hub();
addEventListener("connect", ({ ports }) => hub.add(ports[0]));
addEventListener("online", () => hub.retry());
