/**
 * redis-cli without a command: one line after the other, from a terminal with history, completion and hints, or from a pipe. Cold.
 * What begins with a number is repeated; quit, exit, connect, clear, help and :set are ours, everything else is the server's.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { splitArgs } from "../bytes/args.ts";
import { completions, hint, type HelpEntry } from "./help.ts";
import { LineEditor } from "./line_editor.ts";
import { integer } from "./options.ts";
import type { Session } from "./session.ts";
import { inputIsTerminal, LineSource, print } from "./terminal.ts";

const SLOW_MS = 500;

export interface ReplParts {
  session: Session;
  /** Loaded at the first need: costs a round trip. */
  help(): Promise<readonly HelpEntry[]>;
  issue(args: string[], repeat: number): Promise<void>;
}

export async function repl(parts: ReplParts): Promise<never> {
  const { session } = parts;
  session.interactive = true;
  let list: readonly HelpEntry[] = await parts.help();
  let hints = true;
  const prefer = (words: string[], fromFile: boolean): void => {
    const where = fromFile ? ".redisclirc: " : "";
    if (words[0].toLowerCase() !== ":set" || words.length < 2) print(`${where}unknown redis-cli internal command '${words[0]}'\n`);
    else if (words[1].toLowerCase() === "hints") hints = true;
    else if (words[1].toLowerCase() === "nohints") hints = false;
    else print(`${where}unknown redis-cli preference '${words[1]}'\n`);
  };
  if (!inputIsTerminal()) {
    const lines = new LineSource();
    for (;;) {
      if (session.subscribed) await session.showMessages(lines.ready().then(() => false));
      const line = await lines.next();
      if (line === null) process.exit(0);
      await runLine(parts, line, () => {}, prefer);
    }
  }
  const editor = new LineEditor({
    completions: (line) => completions(line, list),
    hint: (line) => (hints ? hint(line, list) : ""),
  });
  const historyFile = dotFile("REDISCLI_HISTFILE", ".rediscli_history");
  loadHistory(editor, historyFile);
  loadPreferences(prefer);
  // While a command runs Ctrl-C ends the program, as in redis-cli, except where the session itself listens (MONITOR, SUBSCRIBE).
  process.on("SIGINT", () => {
    if (process.listenerCount("SIGINT") === 1) process.exit(1);
  });
  for (;;) {
    if (session.subscribed) {
      await session.showMessages(editor.pressed());
      editor.endPressed();
    }
    const line = await editor.read(session.prompt);
    if (line === null) process.exit(0);
    await runLine(
      parts,
      line,
      (words) => {
        if (words !== null && isSecret(words)) return;
        editor.remember(line);
        if (historyFile !== null) saveHistory(editor, historyFile);
      },
      prefer,
    );
    if (list.length === 0) list = await parts.help();
  }
}

/** Runs what one line asks for. `remember` gets its words, null when they could not be read. */
async function runLine(
  parts: ReplParts,
  line: string,
  remember: (words: string[] | null) => void,
  prefer: (words: string[], fromFile: boolean) => void,
): Promise<void> {
  if (line === "") return;
  const words = splitArgs(line);
  if (words === null) {
    print("Invalid argument(s)\n");
    remember(null);
    return;
  }
  if (words.length === 0) return;
  let repeat = 1;
  let command = words;
  if (words.length > 1 && /^\s*[+-]?\d+$/.test(words[0])) {
    repeat = Number(words[0]);
    if (repeat <= 0 || !Number.isSafeInteger(repeat)) {
      print("Invalid redis-cli repeat command option value.\n");
      return;
    }
    command = words.slice(1);
  }
  remember(command);
  const name = words[0].toLowerCase();
  const { session } = parts;
  if (name === "quit" || name === "exit") process.exit(0);
  if (name.startsWith(":")) prefer(words, false);
  else if (name === "restart") print("Use 'restart' only in Lua debugging mode.\n");
  else if (name === "connect" && words.length === 3) {
    session.host = words[1];
    session.port = integer(words[2]);
    await session.connect(false);
  } else if (name === "clear" && words.length === 1) print("\x1b[H\x1b[2J");
  else {
    const start = performance.now();
    await parts.issue(command, repeat);
    const ms = performance.now() - start;
    if (ms >= SLOW_MS && session.options.output === "standard") print(`(${(ms / 1000).toFixed(2)}s)\n`);
  }
}

/** The path of a file in the home folder; the variable names another one, or none when it says /dev/null. */
function dotFile(variable: string, name: string): string | null {
  const other = process.env[variable];
  if (other !== undefined && other !== "") return other === "/dev/null" ? null : other;
  const home = process.env["HOME"];
  return home === undefined || home === "" ? null : join(home, name);
}

function loadHistory(editor: LineEditor, file: string | null): void {
  if (file === null || !existsSync(file)) return;
  for (const line of readFileSync(file).toString("latin1").split("\n")) if (line !== "") editor.remember(line.replace(/\r$/, ""));
}

function saveHistory(editor: LineEditor, file: string): void {
  try {
    writeFileSync(file, Buffer.from(`${editor.history.join("\n")}\n`, "latin1"), { mode: 0o600 });
  } catch {
    // A home that cannot be written to: the history lives as long as the program.
  }
}

function loadPreferences(prefer: (words: string[], fromFile: boolean) => void): void {
  const file = dotFile("REDISCLI_RCFILE", ".redisclirc");
  if (file === null || !existsSync(file)) return;
  for (const line of readFileSync(file).toString("latin1").split("\n")) {
    const words = splitArgs(line);
    if (words !== null && words.length > 0) prefer(words, true);
  }
}

/** Lines with passwords in them: they stay out of the history. */
export function isSecret(words: readonly string[]): boolean {
  const [name, one = "", two = ""] = words.map((word) => word.toLowerCase());
  if (name === "auth") return true;
  if (name === "acl") return one === "setuser";
  if (name === "config") return one === "set" && words.length > 2 && ["masterauth", "masteruser", "requirepass"].includes(two);
  const rest = words.slice(name === "hello" ? 2 : 6).map((word) => word.toLowerCase());
  if (name === "hello" && words.length > 4) return rest[0] === "auth" || (rest[0] === "setname" && rest[2] === "auth");
  if (name !== "migrate" || words.length <= 7) return false;
  const keys = rest.indexOf("keys");
  return rest.some((word, i) => (word === "auth" || word === "auth2") && (keys < 0 || i < keys));
}
