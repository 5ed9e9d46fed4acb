/** The first line of a script: `#!lua flags=no-writes,allow-stale`. Cold. Redis 7.2 eval.c: evalExtractShebangFlags. */
import { splitArgs } from "../../bytes/args.ts";

export const SCRIPT_NO_WRITES = 1;
export const SCRIPT_ALLOW_OOM = 2;
export const SCRIPT_ALLOW_STALE = 4;
export const SCRIPT_NO_CLUSTER = 8;
export const SCRIPT_ALLOW_CROSS_SLOT = 16;
/** No first line of this kind: a script as before Redis 7, judged by what it does. */
export const SCRIPT_COMPATIBLE = 32;

/** Flags of scripts and functions by name. */
export const SCRIPT_FLAGS: Readonly<Record<string, number>> = {
  "no-writes": SCRIPT_NO_WRITES,
  "allow-oom": SCRIPT_ALLOW_OOM,
  "allow-stale": SCRIPT_ALLOW_STALE,
  "no-cluster": SCRIPT_NO_CLUSTER,
  "allow-cross-slot-keys": SCRIPT_ALLOW_CROSS_SLOT,
};

/** A script's flags and the length of its first line if that is a shebang, or the error's text. */
export function readShebang(body: Buffer): { flags: number; length: number } | string {
  if (body[0] !== 35 || body[1] !== 33) return { flags: SCRIPT_COMPATIBLE, length: 0 };
  const end = body.indexOf(10);
  if (end < 0) return "ERR Invalid script shebang";
  const words = splitArgs(body.toString("latin1", 0, end));
  if (words === null || words.length === 0) return "ERR Invalid engine in script shebang";
  if (words[0] !== "#!lua") return `ERR Unexpected engine in script shebang: ${words[0]}`;
  let flags = 0;
  for (const word of words.slice(1)) {
    if (!word.startsWith("flags=")) return `ERR Unknown lua shebang option: ${word}`;
    // As sdssplitlen: nothing after the sign is no flag at all.
    const names = word.length === 6 ? [] : word.slice(6).split(",");
    for (const name of names) {
      const flag = SCRIPT_FLAGS[name];
      if (flag === undefined) return `ERR Unexpected flag in script shebang: ${name}`;
      flags |= flag;
    }
  }
  return { flags, length: end };
}
