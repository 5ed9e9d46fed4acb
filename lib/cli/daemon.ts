/**
 * Going to the background without fork: the process starts itself again, detached, and waits until the copy says over their channel that it
 * is ready or why it is not. Cold.
 *
 *     parent: startDaemon -- spawn, own session, no terminal, same directory and umask --> child: parentChannel()
 *     parent: exit 0 / text to stderr, exit 1 <------------ { ready } | { failed: text } -- child, which then cuts the channel
 *
 * Unlike Redis' daemonize, whose parent always ends with 0, a start that fails is seen by the caller.
 */
import { cleanEnvironment, inherited, ownCommand } from "./self.ts";

/** Tells the copy that it is one; taken out of its environment at once. */
const MARK = "REDISHA_DAEMON";

export interface DaemonStart {
  argv0: string;
  args: readonly string[];
  /** Where the copy starts: the directory before `dir` was followed. */
  directory: string;
  /** What the parent read from its standard input and the copy must read again; null for nothing. */
  stdin: string | null;
  /** Descriptors that it gets as they are. */
  fds?: readonly number[];
}

type Message = { ready: true } | { failed: string };

/** Starts the copy; null when it is ready, else why it is not. */
export async function startDaemon(start: DaemonStart): Promise<string | null> {
  let answer: (text: string | null) => void = () => undefined;
  const answered = new Promise<string | null>((resolve) => (answer = resolve));
  const child = Bun.spawn([...ownCommand(), ...start.args], {
    argv0: start.argv0,
    cwd: start.directory,
    env: cleanEnvironment({ [MARK]: "1" }),
    detached: true,
    stdio: [start.stdin === null ? "ignore" : Buffer.from(start.stdin, "latin1"), "ignore", "ignore", ...inherited(start.fds ?? [])],
    ipc: (message: Message) => answer("ready" in message ? null : message.failed),
  });
  void child.exited.then((code) =>
    answer(`the background process ended ${endText(code, child.signalCode as NodeJS.Signals | null)} before it was ready`),
  );
  const text = await answered;
  child.disconnect();
  child.unref();
  return text;
}

function endText(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `with code ${code}` : `by ${signal}`;
}

/** The way back to the process that started this one in the background. */
export interface ParentChannel {
  ready(): void;
  failed(text: string): void;
}

let channel: ParentChannel | null | undefined;

/** The channel when this process is a daemon's copy, else null. */
export function parentChannel(): ParentChannel | null {
  if (channel !== undefined) return channel;
  channel = null;
  if (process.env[MARK] === undefined) return null;
  delete process.env[MARK];
  let open = process.send !== undefined;
  const send = (message: Message): void => {
    if (!open) return;
    open = false;
    try {
      process.send?.(message);
      process.disconnect?.();
      // Scripts that this process runs must not look for the channel.
      delete process.env["NODE_CHANNEL_FD"];
      delete process.env["NODE_CHANNEL_SERIALIZATION_MODE"];
    } catch {
      // the parent is gone: nobody waits
    }
  };
  channel = { ready: () => send({ ready: true }), failed: (text) => send({ failed: text }) };
  return channel;
}
