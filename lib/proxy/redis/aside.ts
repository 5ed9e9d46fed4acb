/** Requests of ours to a server, over a connection of their own, beside those of the clients. COLD. */
import { Link } from "../../link/link.ts";
import type { Reply } from "../../resp/reply.ts";
import type { Server } from "../state.ts";
import type { Board } from "./board.ts";

const CONNECT_MS = 1000;

/** Sends them as whoever the first clients are; `done` once with a reply for each, undefined where there is none after `waitMs`. */
export function aside(board: Board, server: Server, requests: string[][], waitMs: number, done: (replies: (Reply | undefined)[]) => void) {
  const replies = new Array<Reply | undefined>(requests.length).fill(undefined);
  let left = requests.length;
  let over = false;
  const cancel = (): void => {
    over = true;
    clearTimeout(timer);
    link.close();
  };
  const finish = (): void => {
    if (over) return;
    cancel();
    done(replies);
  };
  const timer = setTimeout(finish, waitMs);
  const link = new Link({ ...board.where(server), timeoutMs: CONNECT_MS, closed: finish });
  for (const words of board.setup) link.send(words, () => {});
  requests.forEach((words, i) =>
    link.send(words, (r) => {
      replies[i] = r;
      if (--left === 0) finish();
    }),
  );
  return cancel;
}
