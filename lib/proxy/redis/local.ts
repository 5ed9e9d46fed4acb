/**
 * What mode redis answers itself, truthfully about its own clients: CLIENT ID, INFO, LIST, KILL, GETNAME, SETNAME, SETINFO, UNBLOCK. COLD.
 * Texts and order of fields are Redis' (networking.c clientCommand).
 */
import type { Row } from "../../commands/table/row.ts";
import { Link } from "../../link/link.ts";
import { Out } from "../../resp/out.ts";
import type { Request } from "../../resp/request.ts";
import { nowMs } from "../timers.ts";
import type { RedisClient } from "./client.ts";
import { word, words } from "./words.ts";

const SYNTAX = "ERR syntax error";

/** The answer; null when it comes later, through client.answer. */
export function local(client: RedisClient, row: Row, request: Request): Buffer | null {
  const out = new Out(client.state.protocol);
  const w = words(request);
  if (!row.takes(request.argc)) out.errorText(`ERR wrong number of arguments for '${row.name}' command`);
  else
    switch (row.shortName) {
      case "id":
        out.int(client.id);
        break;
      case "getname":
        if (client.name === "") out.nil();
        else out.bulkText(client.name);
        break;
      case "setname":
        setName(client, word(request, 2), out);
        break;
      case "setinfo":
        setInfo(client, w[2]!, w[3]!, out);
        break;
      case "info":
        out.verbatim(`${line(client)}\n`, "txt");
        break;
      case "list":
        list(client, w, out);
        break;
      case "kill":
        kill(client, w, out);
        break;
      default:
        return unblock(client, w, out);
    }
  return out.take();
}

function plainText(text: string): boolean {
  return /^[!-~]*$/.test(text);
}
function setName(client: RedisClient, name: string, out: Out): void {
  if (!plainText(name)) return out.errorText("ERR Client names cannot contain spaces, newlines or special characters.");
  client.name = name;
  out.ok();
}
function setInfo(client: RedisClient, option: string, value: string, out: Out): void {
  const name = option.toLowerCase();
  if (name !== "lib-name" && name !== "lib-ver") return out.errorText(`ERR Unrecognized option '${option}'`);
  if (!plainText(value)) return out.errorText(`ERR ${name} cannot contain spaces, newlines or special characters.`);
  if (name === "lib-name") client.libName = value;
  else client.libVersion = value;
  out.ok();
}

function typeOf(client: RedisClient): "normal" | "pubsub" {
  return client.state.subscriptions > 0 ? "pubsub" : "normal";
}

/** The client as CLIENT LIST shows it. */
export function line(client: RedisClient): string {
  const { conn, state, pin } = client;
  const now = nowMs();
  const blocked = pin !== null && !pin.path.isIdle && !pin.path.inTransaction;
  let flags = "";
  if (pin?.path.opaque) flags += "O";
  if (typeOf(client) === "pubsub") flags += "P";
  if (pin?.path.inTransaction) flags += "x";
  if (blocked) flags += "b";
  if (state.isTracking) flags += "t";
  if (conn.path !== "") flags += "U";
  const out = conn.out;
  return (
    `id=${client.id} addr=${conn.remoteText} laddr=${conn.localText} fd=${conn.fd} name=${client.name}` +
    ` age=${Math.floor((now - client.createdMs) / 1000)} idle=${Math.floor((now - client.activeMs) / 1000)} flags=${flags || "N"}` +
    ` db=${state.databaseIndex} sub=${state.channels.size} psub=${state.patterns.size} ssub=${state.shards.size}` +
    ` multi=${pin?.path.inTransaction ? pin.path.queued : -1} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0` +
    ` obl=${out.n} oll=${out.chunks.length} omem=${out.chunkBytes} tot-mem=${1024 + out.pendingBytes()} events=r${conn.blocked ? "w" : ""}` +
    ` cmd=${client.last?.name ?? "NULL"} user=${client.user ?? state.user} redir=-1 resp=${state.protocol}` +
    ` lib-name=${client.libName} lib-ver=${client.libVersion}`
  );
}

function list(client: RedisClient, w: string[], out: Out): void {
  let chosen = [...client.board.clients].sort((a, b) => a.id - b.id);
  if (w.length > 2) {
    const option = w[2]!.toLowerCase();
    if (option === "type" && w.length === 4) {
      const type = w[3]!.toLowerCase();
      if (!["normal", "pubsub", "master", "replica", "slave"].includes(type)) return out.errorText(`ERR Unknown client type '${w[3]}'`);
      chosen = chosen.filter((c) => typeOf(c) === type);
    } else if (option === "id" && w.length > 3) {
      const ids = w.slice(3).map(Number);
      if (ids.some((id) => !Number.isInteger(id))) return out.errorText("ERR Invalid client ID");
      chosen = chosen.filter((c) => ids.includes(c.id));
    } else return out.errorText(SYNTAX);
  }
  out.verbatim(chosen.map((c) => `${line(c)}\n`).join(""), "txt");
}

function kill(client: RedisClient, w: string[], out: Out): void {
  const { board } = client;
  let skipMe = true;
  const tests: ((c: RedisClient) => boolean)[] = [];
  if (w.length === 3) {
    tests.push((c) => c.conn.remoteText === w[2]);
    skipMe = false;
  } else {
    if (w.length % 2 !== 0) return out.errorText(SYNTAX);
    for (let i = 2; i + 1 < w.length; i += 2) {
      const value = w[i + 1]!;
      switch (w[i]!.toLowerCase()) {
        case "id": {
          const id = Number(value);
          if (!Number.isInteger(id) || id <= 0) return out.errorText("ERR client-id should be greater than 0");
          tests.push((c) => c.id === id);
          break;
        }
        case "addr":
          tests.push((c) => c.conn.remoteText === value);
          break;
        case "laddr":
          tests.push((c) => c.conn.localText === value);
          break;
        case "type": {
          const type = value.toLowerCase();
          if (!["normal", "pubsub", "master", "replica", "slave"].includes(type))
            return out.errorText(`ERR Unknown client type '${value}'`);
          tests.push((c) => typeOf(c) === type);
          break;
        }
        case "user":
          tests.push((c) => (c.user ?? c.state.user) === value);
          break;
        case "maxage": {
          const age = Number(value);
          if (!Number.isInteger(age)) return out.errorText("ERR maxage is not an integer or out of range");
          if (age <= 0) return out.errorText("ERR maxage should be greater than 0");
          tests.push((c) => (nowMs() - c.createdMs) / 1000 >= age);
          break;
        }
        case "skipme":
          if (!/^(yes|no)$/i.test(value)) return out.errorText(SYNTAX);
          skipMe = value.toLowerCase() === "yes";
          break;
        default:
          return out.errorText(SYNTAX);
      }
    }
  }
  let count = 0;
  let me = false;
  for (const c of Array.from(board.clients)) {
    if (!tests.every((t) => t(c)) || (skipMe && c === client)) continue;
    count++;
    if (c === client) me = true;
    else c.kill("K");
  }
  if (w.length === 3) {
    if (count === 0) return out.errorText("ERR No such client");
    out.ok();
  } else out.int(count);
  if (me) client.leaveAfterReply();
}

/** CLIENT UNBLOCK: the server knows the client's own connection under an id of its own; found by its address. */
function unblock(client: RedisClient, w: string[], out: Out): Buffer | null {
  const id = Number(w[2]);
  const how = (w[3] ?? "timeout").toLowerCase();
  if (!Number.isInteger(id)) out.errorText("ERR value is not an integer or out of range");
  else if (w.length > 4 || (how !== "timeout" && how !== "error")) out.errorText("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  else {
    const other = [...client.board.clients].find((c) => c.id === id);
    const pin = other?.pin ?? null;
    if (pin === null || pin.conn === null || pin.server === null || pin.path.isIdle) out.int(0);
    else {
      const number = client.next++;
      const address = pin.conn.localText;
      const tell = (n: number): void => {
        client.answer(number, Buffer.from(`:${n}\r\n`));
        client.board.flushClients();
      };
      const link: Link = new Link({ ...client.board.where(pin.server), timeoutMs: 3000, closed: () => {} });
      for (const r of client.state.restore()) link.send(r.words, () => {});
      link.send(["CLIENT", "LIST"], (text) => {
        const found =
          typeof text === "string" ? new RegExp(`^id=(\\d+) addr=${address.replace(/[.[\]]/g, "\\$&")} `, "m").exec(text) : null;
        if (found === null) {
          link.close();
          return tell(0);
        }
        link.send(["CLIENT", "UNBLOCK", found[1]!, how.toUpperCase()], (r) => {
          link.close();
          tell(typeof r === "number" ? r : 0);
        });
      });
      return null;
    }
  }
  return out.take();
}
