/**
 * Commands that our table does not have: a module's, a newer server's, renamed ones. They go over connections of clients' own. The master is
 * asked for their flags once (COMMAND INFO): what only reads may be sent again after a failover, what is not known may not. COLD.
 */
import { SAFE, UNSAFE } from "../core/request_class.ts";
import { aside } from "./aside.ts";
import type { Board } from "./board.ts";

/** Names are anything that a client sends. */
const COUNT_MAX = 256;
const NAME_MAX = 64;
const ASK_MS = 3000;

export class Foreign {
  private readonly board: Board;
  private readonly classes: Map<string, number>;

  constructor(board: Board) {
    this.board = board;
    this.classes = new Map();
  }

  /** What request_class.ts has for the others. */
  classOf(command: string): number {
    const name = command.toLowerCase();
    const known = this.classes.get(name);
    if (known === undefined) this.ask(name);
    return known ?? UNSAFE;
  }
  private ask(name: string): void {
    const { board, classes } = this;
    if (classes.size >= COUNT_MAX || name.length > NAME_MAX || board.target === null) return;
    classes.set(name, UNSAFE);
    aside(board, board.target, [["COMMAND", "INFO", name]], ASK_MS, ([reply]) => {
      const info = Array.isArray(reply) ? reply[0] : undefined;
      if (reply === undefined || info === undefined) classes.delete(name);
      else if (Array.isArray(info) && Array.isArray(info[2])) {
        const flags = new Set(info[2].map((f) => String(f).replace(/^\+/, "")));
        if (flags.has("readonly") && !flags.has("write") && !flags.has("blocking")) classes.set(name, SAFE);
      }
    });
  }
}
