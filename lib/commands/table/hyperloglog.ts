/** HyperLogLog: rows of the command table (row.ts says how to read them). */
import type { CommandLiterals } from "./row.ts";

export const hyperloglog = {
  pfadd: {
    arity: -2,
    since: "2.8.9",
    flags: "write denyoom fast @hyperloglog",
    keys: "1 RW insert",
    cost: "O(1) an element",
    summary: "Add elements to a HyperLogLog.",
    args: "key [element...]",
  },
  pfcount: {
    arity: -2,
    since: "2.8.9",
    flags: "readonly may_replicate @hyperloglog",
    keys: "1..-1 RW access -- the cached count inside the value may be renewed",
    cost: "O(1) for one key; O(N) and slow for N keys",
    summary: "Estimate how many different elements were added.",
    args: "key...",
  },
  pfdebug: {
    arity: 3,
    since: "2.8.9",
    flags: "write denyoom admin @hyperloglog",
    keys: "2 RW access",
    cost: "N/A",
    summary: "Inner state of a HyperLogLog.",
    args: "subcommand key",
    system: true,
  },
  pfmerge: {
    arity: -2,
    since: "2.8.9",
    flags: "write denyoom @hyperloglog",
    keys: "1 RW access insert; 2..-1 RO access",
    cost: "O(N), N = HyperLogLogs, with a large constant",
    summary: "Merge HyperLogLogs into one.",
    args: "destkey#0 [sourcekey#1...]",
  },
  pfselftest: {
    arity: 1,
    since: "2.8.9",
    flags: "admin @hyperloglog",
    cost: "N/A",
    summary: "Check the HyperLogLog code.",
    system: true,
  },
} as const satisfies CommandLiterals;
