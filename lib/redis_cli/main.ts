/**
 * `redisha --cli`, or a link named redis-cli: what people type every day, with redis-cli's output and exit codes. Cold.
 *
 *   options.ts -> session.ts (connect, one command) -> format.ts -> terminal.ts
 *               \ repl.ts (line_editor.ts, help.ts)    channel.ts, value.ts: the connection and its replies
 *               \ sampling.ts, watching.ts, transfer.ts: --bigkeys, --stat, --pipe and their like
 *
 * Left out: Redis Cluster's manager, the Lua debugger, --lru-test.
 */
import { readFileSync } from "node:fs";
import { strerror } from "../bytes/errno.ts";
import { Channel } from "./channel.ts";
import { entriesFromDocs, entriesFromTable, helpText, type HelpEntry } from "./help.ts";
import { readOptions, unquote, type CliOptions } from "./options.ts";
import { repl } from "./repl.ts";
import { bigKeys, hotKeys, scanMode } from "./sampling.ts";
import { Session, tlsOptions } from "./session.ts";
import { complain, exactArguments, print, readInput } from "./terminal.ts";
import { fetchRdb, pipeMode, replicaMode } from "./transfer.ts";
import { intrinsicLatency, latencyDistribution, latencyMode, statMode } from "./watching.ts";

/** Runs the client; the process' exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const options = readOptions(exactArguments(args));
  if (options.askPassword) options.password = await askPassword();
  if (options.sentinel !== null && !(await findMaster(options))) return 1;
  const session = new Session(options);
  if (options.special !== null) return special(session, options);
  const { command } = options;
  if (options.evalFile !== null) {
    if (!(await session.connect(false))) return 1;
    return issueOnce(session, evalCommand(options.evalFile, command), options);
  }
  if (command.length === 0) {
    await session.connect(false);
    return repl({
      session,
      help: () => loadHelp(session),
      issue: async (words, repeat) => {
        await issue(session, words, repeat);
      },
    });
  }
  const words = commandWords(options);
  if (words === null) return 1;
  await session.connect(true);
  return issueOnce(session, words, options);
}

async function issueOnce(session: Session, words: string[], options: CliOptions): Promise<number> {
  return (await issue(session, words, options.repeat)) ? 0 : 1;
}

/** A command, or one of the words that are answered here. */
async function issue(session: Session, words: string[], repeat: number): Promise<boolean> {
  const name = words[0].toLowerCase();
  if (name === "help" || name === "?") {
    print(helpText(words.slice(1), words.length > 1 ? await loadHelp(session) : []));
    return true;
  }
  if (name !== "sync" && name !== "psync") return session.issue(words, repeat);
  if ((session.channel === null || session.channel.lost !== null) && !(await session.connect(false))) return false;
  print("Entering replica output mode...  (press Ctrl-C to quit)\n");
  await replicaMode(session.channel!, session.options, false);
  session.channel?.close();
  session.channel = null;
  return false;
}

let help: HelpEntry[] | null = null;
async function loadHelp(session: Session): Promise<HelpEntry[]> {
  if (help !== null) return help;
  if ((session.channel === null || session.channel.lost !== null) && !(await session.connect(true))) return (help = entriesFromTable());
  try {
    help = entriesFromDocs(await session.channel!.ask("COMMAND", "DOCS"));
  } catch {
    // Lost meanwhile: our own table serves.
  }
  return (help ??= entriesFromTable());
}

/** The command's words, unquoted and completed from standard input as -x and -X ask; null when that failed and was said. */
function commandWords(options: CliOptions): string[] | null {
  let words = options.command;
  if (options.quotedInput) {
    const plain = words.map(unquote);
    if (plain.includes(null)) {
      print("Invalid quoted string\n");
      return null;
    }
    words = plain as string[];
  }
  if (options.stdinLast) return [...words, readInput()];
  if (options.stdinTag === null) return words;
  const at = words.indexOf(options.stdinTag);
  if (at >= 0) return words.with(at, readInput());
  complain("Using -X option but stdin tag not match.\n");
  return null;
}

/** EVAL of a file: keys, then a lone comma, then arguments. */
function evalCommand(file: string, words: readonly string[]): string[] {
  let script: string;
  try {
    script = readFileSync(file).toString("latin1");
  } catch (error) {
    complain(`Can't open file '${file}': ${strerror(error)}\n`);
    process.exit(1);
  }
  const comma = words.indexOf(",");
  const keys = comma < 0 ? words : words.slice(0, comma);
  return ["EVAL", script, String(keys.length), ...keys, ...(comma < 0 ? [] : words.slice(comma + 1))];
}

async function askPassword(): Promise<string> {
  const { LineEditor } = await import("./line_editor.ts");
  const line = await new LineEditor().read("Please input password: ", true);
  if (line === null) process.exit(1);
  return line;
}

/** Asks the Sentinel at host:port for its master and turns the options to that one. */
async function findMaster(options: CliOptions): Promise<boolean> {
  const name = options.sentinel!;
  const where = `${options.host}:${options.port}`;
  try {
    const place = { host: options.host, port: options.port, socket: options.socket, tls: tlsOptions(options, options.host) };
    const channel = await Channel.open(place);
    const reply = await channel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name);
    channel.close();
    if (reply.kind === "array" && reply.items.length === 2) {
      options.host = reply.items[0].text;
      options.port = Number(reply.items[1].text);
      options.socket = null;
      return true;
    }
    if (reply.kind === "error") complain(`The Sentinel at ${where} answers: ${reply.text}\n`);
    else complain(`The Sentinel at ${where} knows no master named '${name}'\n`);
  } catch (error) {
    complain(`Could not ask the Sentinel at ${where}: ${(error as Error).message}\n`);
  }
  return false;
}

async function special(session: Session, options: CliOptions): Promise<number> {
  if (options.special === "intrinsic-latency") intrinsicLatency(options.intrinsicS);
  if (!(await session.connect(false)) || session.channel === null) return 1;
  const { channel } = session;
  try {
    switch (options.special) {
      case "latency":
        return await latencyMode(session, options);
      case "latency-dist":
        return await latencyDistribution(session, options);
      case "stat":
        return await statMode(session, options);
      case "scan":
        return await scanMode(channel, options);
      case "bigkeys":
      case "memkeys":
        return await bigKeys(channel, options);
      case "hotkeys":
        return await hotKeys(channel, options);
      case "pipe":
        return await pipeMode(channel, options);
      case "rdb":
      case "functions-rdb":
        return await fetchRdb(channel, options);
      default:
        await replicaMode(channel, options, true);
        return 1;
    }
  } catch (error) {
    complain(`\nI/O error\n`);
    if (channel.lost === null) throw error;
    return 1;
  }
}
