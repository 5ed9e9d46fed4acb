/**
 * ACL, as far as the default user needs it: WHOAMI USERS LIST GETUSER CAT GENPASS. COLD.
 * Rules of further users (SETUSER and what asks them) are another module's; it will replace GETUSER and LIST. Shapes of Redis 7.2 acl.c.
 */
import { ACL } from "../commands/table/row.ts";
import { ERR } from "../resp/errors.ts";
import { rowOf, type Runs } from "./bind.ts";
import type { Call } from "./call.ts";
import { tooMany } from "./replies.ts";
import type { Service } from "./service.ts";
import type { User } from "./users.ts";

const GENPASS_MOST_BITS = 4096;

export function aclCommands(service: Service): Runs {
  return {
    "acl|whoami": (call) => {
      if (call.client.user === null) call.out.nil();
      else call.out.bulkText(call.client.user.name);
    },
    "acl|users": (call) => listOf(call, [...service.users.all.keys()].sort()),
    "acl|list": (call) => {
      const users = [...service.users.all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      listOf(call, users.map(describe));
    },
    "acl|getuser": (call) => getUser(service, call),
    "acl|cat": (call) => categories(service, call),
    "acl|genpass": genPass,
  };
}

function listOf(call: Call, texts: string[]): void {
  call.out.array(texts.length);
  for (const text of texts) call.out.bulkText(text);
}

function flagsOf(user: User): string[] {
  return [user.enabled ? "on" : "off", ...(user.noPass ? ["nopass"] : []), "sanitize-payload"];
}

/** A user as ACL LIST and the configuration file write it. */
function describe(user: User): string {
  return ["user", user.name, ...flagsOf(user), ...user.passwords.map((p) => `#${p}`), "~* &* +@all"].join(" ");
}

function getUser(service: Service, call: Call): void {
  const { out } = call;
  const user = service.users.all.get(call.text(2));
  if (user === undefined) return out.nil();
  out.map(6);
  out.bulkText("flags");
  const flags = flagsOf(user);
  out.set(flags.length);
  for (const f of flags) out.bulkText(f);
  out.bulkText("passwords");
  listOf(call, user.passwords);
  for (const [name, value] of [
    ["commands", "+@all"],
    ["keys", "~*"],
    ["channels", "&*"],
  ]) {
    out.bulkText(name);
    out.bulkText(value);
  }
  out.bulkText("selectors");
  out.array(0);
}

function categories(service: Service, call: Call): void {
  if (call.argc > 3) return tooMany(call);
  if (call.argc === 2) return listOf(call, Object.keys(ACL));
  const bit = (ACL as Readonly<Record<string, number>>)[call.lower(2)];
  if (bit === undefined) return call.out.errorText(`ERR Unknown category '${call.text(2).slice(0, 128)}'`);
  const commands = service.dispatcher.table.all.filter((c) => c.subs === null && (rowOf(c).acl & bit) !== 0);
  listOf(
    call,
    commands.map((c) => c.name),
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
