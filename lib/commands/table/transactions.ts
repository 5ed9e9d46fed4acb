/** Transactions: rows of the command table (row.ts says how to read them). */
import type { CommandLiterals } from "./row.ts";

export const transactions = {
  discard: {
    arity: 1,
    since: "2.0.0",
    flags: "noscript loading stale fast allow_busy @transaction",
    cost: "O(N), N = queued commands",
    summary: "Throw a transaction away.",
  },
  exec: {
    arity: 1,
    since: "1.2.0",
    flags: "noscript loading stale skip_slowlog @transaction",
    cost: "by the commands queued",
    summary: "Run the commands of a transaction.",
  },
  multi: {
    arity: 1,
    since: "1.2.0",
    flags: "noscript loading stale fast allow_busy @transaction",
    summary: "Begin a transaction.",
  },
  unwatch: {
    arity: 1,
    since: "2.2.0",
    flags: "noscript loading stale fast allow_busy @transaction",
    summary: "Watch no keys any more.",
  },
  watch: {
    arity: -2,
    since: "2.2.0",
    flags: "noscript loading stale fast allow_busy @transaction",
    keys: "1..-1 RO",
    cost: "O(1) a key",
    summary: "Let the next EXEC do nothing if one of these keys changes before it.",
    args: "key...",
  },
} as const satisfies CommandLiterals;
