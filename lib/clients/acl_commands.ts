/**
 * ACL and its subcommands, but HELP (built from the rows). COLD.
 * Texts, shapes and the order of checks follow Redis 7.2 acl.c aclCommand.
 */
import { ACL, type Row } from "../commands/table/row.ts";
import { doubleText } from "../bytes/number.ts";
import { ERR } from "../resp/errors.ts";
import type { Out } from "../resp/out.ts";
import { clock } from "../time/clock.ts";
import { REASONS } from "./acl/log.ts";
import { ALLOWED, cText, hasBlanks, type Selector } from "./acl/selector.ts";
import { denied, mayRun } from "./acl/user.ts";
import type { Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import { tooMany } from "./replies.ts";
import type { Service } from "./service.ts";
import { refusal } from "./users.ts";

const GENPASS_MOST_BITS = 4096;
const LOG_USUAL_COUNT = 10;
const NO_FILE =
  "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then " +
  "issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

export function aclCommands(service: Service): Runs {
  const file = service.aclFile;
  return {
    "acl|whoami": (call) => {
      if (call.client.user === null) call.out.nil();
      else call.out.bulkText(call.client.user.name);
    },
    "acl|users": (call) =>
      listOf(
        call.out,
        service.users.sorted().map((user) => user.name),
      ),
    "acl|list": (call) =>
      listOf(
        call.out,
        service.users.sorted().map((user) => `user ${user.describe()}`),
      ),
    "acl|getuser": (call) => getUser(service, call),
    "acl|setuser": (call) => setUser(service, call),
    "acl|deluser": (call) => delUser(service, call),
    "acl|dryrun": (call) => dryRun(service, call),
    "acl|cat": (call) => categories(service, call),
    "acl|genpass": genPass,
    "acl|log": (call) => log(service, call),
    "acl|load": (call) => answer(call, service.settings.aclFile === "" ? NO_FILE : prefixed(file.load())),
    "acl|save": (call) => answer(call, service.settings.aclFile === "" ? NO_FILE : prefixed(file.save())),
  };
}

function prefixed(error: string | null): string | null {
  return error === null ? null : `ERR ${error}`;
}
function answer(call: Call, error: string | null): void {
  if (error === null) call.out.ok();
  else call.out.errorText(error);
}

function listOf(out: Out, texts: readonly string[]): void {
  out.array(texts.length);
  for (const text of texts) out.bulkText(text);
}

// -------------------------------------------------------------------------------------------------------------------- users

function getUser(service: Service, call: Call): void {
  const { out } = call;
  const user = service.users.all.get(call.text(2));
  if (user === undefined) return out.nil();
  out.map(6);
  out.bulkText("flags");
  const flags = user.flags();
  out.set(flags.length);
  for (const flag of flags) out.bulkText(flag);
  out.bulkText("passwords");
  listOf(out, user.passwords);
  const [root, ...others] = user.selectors;
  selectorFields(out, root);
  out.bulkText("selectors");
  out.array(others.length);
  for (const selector of others) {
    out.map(3);
    selectorFields(out, selector);
  }
}

function selectorFields(out: Out, selector: Selector): void {
  out.bulkText("commands");
  out.bulkText(selector.describeCommands());
  out.bulkText("keys");
  out.bulkText(selector.describeKeys());
  out.bulkText("channels");
  out.bulkText(selector.describeChannels());
}

function setUser(service: Service, call: Call): void {
  const name = call.text(2);
  if (hasBlanks(name)) return call.out.errorText("ERR Usernames can't contain spaces or null characters");
  const rules = Array.from({ length: call.argc - 3 }, (_, i) => call.text(i + 3));
  answer(call, prefixed(service.users.setUser(name, rules)));
}

function delUser(service: Service, call: Call): void {
  const names = Array.from({ length: call.argc - 2 }, (_, i) => call.text(i + 2));
  if (names.some((name) => cText(name) === "default")) return call.out.errorText("ERR The 'default' user cannot be removed");
  call.out.int(names.filter((name) => service.users.delete(name)).length);
}

/** ACL DRYRUN user command [arg ...]: whether the user may, without doing it. */
function dryRun(service: Service, call: Call): void {
  const { out } = call;
  const user = service.users.all.get(call.text(2));
  if (user === undefined) return out.errorText(`ERR User '${cText(call.text(2))}' not found`);
  const row = rowAt(service, call, 3);
  if (row === null) return out.errorText(`ERR Command '${cText(call.text(3))}' not found`);
  const argc = call.argc - 3;
  if (!row.takes(argc)) return out.errorText(`ERR wrong number of arguments for '${row.name}' command`);
  const verdict = mayRun(user, row, call.buf, call.at, 3, argc);
  if (verdict === ALLOWED) return out.ok();
  out.bulkText(refusal(verdict, user, row, call.text(denied.argument + 3)));
}

/** The row that argument i and, for a container, the next one name; also of a command that this server does not have. */
function rowAt(service: Service, call: Call, i: number): Row | null {
  const { table } = service.users;
  const row = table.find(call.buf, call.s(i), call.e(i));
  if (row === null || row.subcommands === null || call.argc <= i + 1) return row;
  return table.findSub(row, call.buf, call.s(i + 1), call.e(i + 1));
}

// -------------------------------------------------------------------------------------------------------------------- the rest

function categories(service: Service, call: Call): void {
  if (call.argc > 3) return tooMany(call);
  if (call.argc === 2) return listOf(call.out, Object.keys(ACL));
  const bit = (ACL as Readonly<Record<string, number>>)[call.lower(2)];
  if (bit === undefined) return call.out.errorText(`ERR Unknown category '${cText(call.text(2)).slice(0, 128)}'`);
  const rows = service.users.world.commands.rows.filter((row) => (row.acl & bit) !== 0);
  listOf(
    call.out,
    rows.map((row) => row.name),
  );
}

function genPass(call: Call): void {
  if (call.argc > 3) return tooMany(call);
  let bits = 256;
  if (call.argc === 3) {
    bits = call.integer(2);
    if (Number.isNaN(bits)) return call.out.error(ERR.notInteger);
  }
  if (bits <= 0 || bits > GENPASS_MOST_BITS)
    return call.out.errorText(
      `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${GENPASS_MOST_BITS}`,
    );
  const chars = Math.ceil(bits / 4);
  const random = crypto.getRandomValues(new Uint8Array(Math.ceil(chars / 2)));
  call.out.bulkText(Buffer.from(random).toString("hex").slice(0, chars));
}

/** ACL LOG [count | RESET]. */
function log(service: Service, call: Call): void {
  const { out } = call;
  const { log: denials } = service.users;
  if (call.argc > 3) return tooMany(call);
  let count = LOG_USUAL_COUNT;
  if (call.argc === 3) {
    if (call.is(2, "reset")) {
      denials.clear();
      return out.ok();
    }
    count = call.integer(2);
    if (Number.isNaN(count)) return out.error(ERR.notInteger);
  }
  const entries = denials.entries.slice(0, Math.max(0, count));
  const now = Math.floor(clock.nowMs);
  out.array(entries.length);
  for (const entry of entries) {
    out.map(10);
    out.bulkText("count");
    out.int(entry.count);
    for (const [name, value] of [
      ["reason", REASONS[entry.reason]],
      ["context", entry.context],
      ["object", entry.object],
      ["username", entry.user],
    ]) {
      out.bulkText(name);
      out.bulkText(value);
    }
    out.bulkText("age-seconds");
    out.doubleText(doubleText((now - entry.updatedMs) / 1000));
    out.bulkText("client-info");
    out.bulkText(entry.clientInfo);
    out.bulkText("entry-id");
    out.int(entry.id);
    out.bulkText("timestamp-created");
    out.int(entry.createdMs);
    out.bulkText("timestamp-last-updated");
    out.int(entry.updatedMs);
  }
}
