/** What a part of the set says about itself: one connection, one or two commands, at most a second. Cold. */
import { Link } from "../link/link.ts";
import { ReplyError, type Reply } from "../resp/reply.ts";
import { MASTER_NAME, type Part } from "./plan.ts";

const ANSWER_MS = 1000;

/** Names and values of the last answer. `error` is the text of an error reply; empty: no answer. */
export type Facts = Record<string, string>;

/** One command to a port of this machine; undefined when there is no answer in time. */
function ask(port: number, ...command: string[]): Promise<Reply | undefined> {
  return new Promise((done) => {
    const link = new Link({ hostname: "127.0.0.1", port, timeoutMs: ANSWER_MS });
    const timer = setTimeout(() => link.close(), ANSWER_MS);
    link.send(command, (reply) => {
      clearTimeout(timer);
      link.close();
      done(reply);
    });
  });
}

/** INFO's lines as fields. */
function infoFields(reply: Reply | undefined): Facts {
  const facts: Facts = {};
  if (reply instanceof ReplyError) facts["error"] = reply.text;
  if (typeof reply !== "string") return facts;
  for (const line of reply.split("\r\n")) {
    const i = line.indexOf(":");
    if (i > 0) facts[line.slice(0, i)] = line.slice(i + 1);
  }
  return facts;
}

/** A flat reply of names and values as fields. */
function pairFields(reply: Reply | undefined): Facts {
  const facts: Facts = {};
  if (reply instanceof ReplyError) facts["error"] = reply.text;
  if (Array.isArray(reply)) for (let i = 0; i + 1 < reply.length; i += 2) facts[String(reply[i])] = String(reply[i + 1]);
  return facts;
}

/** Servers: INFO's replication and persistence; Sentinels: SENTINEL MASTER; the proxy: what INFO says through it. */
export async function look(part: Part): Promise<Facts> {
  if (part.kind === "server") return infoFields(await ask(part.port, "INFO", "replication", "persistence"));
  if (part.kind === "sentinel") return pairFields(await ask(part.port, "SENTINEL", "MASTER", MASTER_NAME));
  return infoFields(await ask(part.port, "INFO", "server"));
}
