/**
 * GEO commands on sorted sets whose scores are places (Redis geo.c). GEOADD is a ZADD; searches walk the few score ranges that cover the shape
 * and measure each member there. Warm: a row of numbers a member found, its bytes are copied into one buffer.
 */
import * as geohash from "../bytes/geohash.ts";
import { humanDoubleText } from "../bytes/long_double.ts";
import { fixedText, parseDouble } from "../bytes/number.ts";
import { type Call, encodeCommand } from "../clients/call.ts";
import type { Run } from "../clients/command.ts";
import { NOTIFY_GENERIC } from "../config/keyspace_events.ts";
import { ERR, errorLine } from "../resp/errors.ts";
import { freeLoose, loose } from "../store/room.ts";
import {
  ZSetCursor,
  gotScore,
  newLooseZSet,
  zsetChanged,
  zsetCountBelow,
  zsetExpect,
  zsetPackIfSmall,
  zsetScore,
  zsetSet,
} from "../store/zset.ts";
import { keyspaceOf, touched } from "./effects.ts";
import { NONE, zsetRuns, zsetToRead } from "./zset.ts";
import { storeZSet } from "./zset_range.ts";

const UNIT = errorLine("ERR unsupported unit provided. please use M, KM, FT, MI");
const RADIUS = errorLine("ERR need numeric radius");
const RADIUS_NEGATIVE = errorLine("ERR radius cannot be negative");
const WIDTH = errorLine("ERR need numeric width");
const HEIGHT = errorLine("ERR need numeric height");
const BOX_NEGATIVE = errorLine("ERR height or width cannot be negative");
const MEMBER = errorLine("ERR could not decode requested zset member");
const COUNT = errorLine("ERR COUNT must be > 0");
const ANY = errorLine("ERR the ANY argument requires COUNT argument");

/** C's %f. */
function plainFloat(d: number): string {
  return Number.isFinite(d) ? d.toFixed(6) : d > 0 ? "inf" : "-inf";
}

let argLongitude = 0;
let argLatitude = 0;

/** Longitude and latitude in arguments i and i + 1, into argLongitude and argLatitude. False after a reply. */
function placeArgs(c: Call, i: number): boolean {
  argLongitude = parseDouble(c.buf, c.s(i), c.e(i));
  argLatitude = argLongitude === argLongitude ? parseDouble(c.buf, c.s(i + 1), c.e(i + 1)) : NaN;
  if (argLatitude !== argLatitude) c.out.error(ERR.notFloat);
  else if (Math.abs(argLongitude) > geohash.LONGITUDE_MAX || Math.abs(argLatitude) > geohash.LATITUDE_MAX)
    c.out.errorText(`ERR invalid longitude,latitude pair ${plainFloat(argLongitude)},${plainFloat(argLatitude)}`);
  else return true;
  return false;
}

/** Metres in the unit of argument i; NaN after a reply. */
function unitArg(c: Call, i: number): number {
  if (c.is(i, "m")) return 1;
  if (c.is(i, "km")) return 1000;
  if (c.is(i, "ft")) return 0.3048;
  if (c.is(i, "mi")) return 1609.34;
  c.out.error(UNIT);
  return NaN;
}

function refuse(c: Call, line: Buffer): null {
  c.out.error(line);
  return null;
}

/** GEOADD key [NX | XX] [CH] longitude latitude member ...: a ZADD, for replicas and the AOF too. */
function geoadd(c: Call): void {
  let from = 2;
  let nx = false;
  let xx = false;
  for (; from < c.argc; from++) {
    if (c.is(from, "nx")) nx = true;
    else if (c.is(from, "xx")) xx = true;
    else if (!c.is(from, "ch")) break;
  }
  if ((c.argc - from) % 3 !== 0 || (nx && xx)) return c.out.error(ERR.syntax);
  const args: (string | number | Uint8Array)[] = ["zadd"];
  for (let i = 1; i < from; i++) args.push(c.view(i));
  for (let i = from; i < c.argc; i += 3) {
    if (!placeArgs(c, i)) return;
    args.push(BigInt(geohash.scoreOf(argLongitude, argLatitude)).toString(), c.view(i + 2));
  }
  runAs(c, args, zsetRuns["zadd"]);
}

/** Runs another command in this one's place; what changed is propagated as that command, the log keeps the words of the client. */
function runAs(c: Call, args: (string | number | Uint8Array)[], run: Run): void {
  const { buf, at, argc } = c;
  c.buf = encodeCommand(args);
  c.at = new Int32Array(args.length * 2);
  c.argc = args.length;
  let p = c.buf.indexOf(LF) + 1;
  for (let i = 0; i < args.length; i++) {
    const start = c.buf.indexOf(LF, p) + 1;
    const arg = args[i];
    const end = start + (typeof arg === "number" ? String(arg).length : arg.length);
    c.at[i * 2] = start;
    c.at[i * 2 + 1] = end;
    p = end + 2;
  }
  run(c);
  if (c.dirty !== 0) c.instead = [c.buf];
  c.buf = buf;
  c.at = at;
  c.argc = argc;
}
const LF = 10;

function geodist(c: Call): void {
  let unit = 1;
  if (c.argc > 5) return c.out.error(ERR.syntax);
  if (c.argc === 5) {
    unit = unitArg(c, 4);
    if (unit !== unit) return;
  }
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  if (ref === 0 || !zsetScore(ref, c.buf, c.s(2), c.e(2))) return c.out.nil();
  geohash.decode(gotScore);
  const { longitude, latitude } = geohash;
  if (!zsetScore(ref, c.buf, c.s(3), c.e(3))) return c.out.nil();
  geohash.decode(gotScore);
  c.out.bulkText(fixedText(geohash.distance(longitude, latitude, geohash.longitude, geohash.latitude) / unit, 4));
}

function geohashes(c: Call): void {
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  c.out.array(c.argc - 2);
  for (let i = 2; i < c.argc; i++) {
    if (ref === 0 || !zsetScore(ref, c.buf, c.s(i), c.e(i))) c.out.nil();
    else {
      geohash.decode(gotScore);
      c.out.bulkText(geohash.geohashText(geohash.longitude, geohash.latitude));
    }
  }
}

function geopos(c: Call): void {
  const ref = zsetToRead(c, 1);
  if (ref === NONE) return;
  c.out.array(c.argc - 2);
  for (let i = 2; i < c.argc; i++) {
    if (ref === 0 || !zsetScore(ref, c.buf, c.s(i), c.e(i))) c.out.nilArray();
    else {
      geohash.decode(gotScore);
      replyPlace(c, geohash.longitude, geohash.latitude);
    }
  }
}

function replyPlace(c: Call, longitude: number, latitude: number): void {
  c.out.array(2);
  c.out.doubleText(humanDoubleText(longitude));
  c.out.doubleText(humanDoubleText(latitude));
}

// ---------------------------------------------------------------------------------------------------------------------- searches

const CIRCLE_AT = 0;
const CIRCLE_AROUND = 1;
const SEARCH = 2;

interface Search {
  shape: geohash.Shape;
  withDistance: boolean;
  withHash: boolean;
  withPlace: boolean;
  /** 1 nearest first, -1 farthest first, 0 as found. */
  order: number;
  /** 0: all. */
  count: number;
  any: boolean;
  /** Argument of the key to store into, 0: none. */
  store: number;
  storeDistance: boolean;
  /** GEOSEARCH: what has been named. */
  fromMember: boolean;
  fromPlace: boolean;
  byRadius: boolean;
  byBox: boolean;
}

/** Radius and unit in arguments i and i + 1. False after a reply. */
function radiusArgs(c: Call, i: number, shape: geohash.Shape): boolean {
  shape.radius = parseDouble(c.buf, c.s(i), c.e(i));
  shape.circle = true;
  if (shape.radius !== shape.radius) c.out.error(RADIUS);
  else if (shape.radius < 0) c.out.error(RADIUS_NEGATIVE);
  else {
    shape.unitM = unitArg(c, i + 1);
    return shape.unitM === shape.unitM;
  }
  return false;
}

/** Width, height and unit in arguments i to i + 2. False after a reply. */
function boxArgs(c: Call, i: number, shape: geohash.Shape): boolean {
  shape.width = parseDouble(c.buf, c.s(i), c.e(i));
  shape.height = parseDouble(c.buf, c.s(i + 1), c.e(i + 1));
  shape.circle = false;
  if (shape.width !== shape.width) c.out.error(WIDTH);
  else if (shape.height !== shape.height) c.out.error(HEIGHT);
  else if (shape.width < 0 || shape.height < 0) c.out.error(BOX_NEGATIVE);
  else {
    shape.unitM = unitArg(c, i + 2);
    return shape.unitM === shape.unitM;
  }
  return false;
}

/** The member in argument i becomes the middle. False after a reply. */
function aroundMember(c: Call, ref: number, i: number, shape: geohash.Shape): boolean {
  if (!zsetScore(ref, c.buf, c.s(i), c.e(i))) {
    c.out.error(MEMBER);
    return false;
  }
  geohash.decode(gotScore);
  shape.longitude = geohash.longitude;
  shape.latitude = geohash.latitude;
  return true;
}

/** What comes before the options: the argument they begin at, 0 after a reply. */
function readMiddle(c: Call, kind: number, ref: number, shape: geohash.Shape): number {
  if (kind === SEARCH) return c.command.name === "geosearchstore" ? 3 : 2;
  if (kind === CIRCLE_AT) {
    if (!placeArgs(c, 2) || !radiusArgs(c, 4, shape)) return 0;
    shape.longitude = argLongitude;
    shape.latitude = argLatitude;
    return 6;
  }
  // Without the key its member and radius are not looked at.
  if (ref !== 0 && (!aroundMember(c, ref, 2, shape) || !radiusArgs(c, 3, shape))) return 0;
  return 5;
}

/** The options of GEOSEARCH alone at argument i: the last argument used, 0 after a reply, -1 when it is none of them. */
function searchOption(c: Call, s: Search, ref: number, i: number): number {
  const left = c.argc - i - 1;
  if (left >= 1 && c.is(i, "frommember") && !s.fromPlace) {
    s.fromMember = true;
    return ref === 0 || aroundMember(c, ref, i + 1, s.shape) ? i + 1 : 0;
  }
  if (left >= 2 && c.is(i, "fromlonlat") && !s.fromMember) {
    if (!placeArgs(c, i + 1)) return 0;
    s.shape.longitude = argLongitude;
    s.shape.latitude = argLatitude;
    s.fromPlace = true;
    return i + 2;
  }
  if (left >= 2 && c.is(i, "byradius") && !s.byBox) {
    s.byRadius = true;
    return radiusArgs(c, i + 1, s.shape) ? i + 2 : 0;
  }
  if (left >= 3 && c.is(i, "bybox") && !s.byRadius) {
    s.byBox = true;
    return boxArgs(c, i + 1, s.shape) ? i + 3 : 0;
  }
  return -1;
}

/** Reads everything; null after a reply. Redis georadiusGeneric. */
function readSearch(c: Call, kind: number, ref: number, mayStore: boolean): Search | null {
  const shape = { longitude: 0, latitude: 0, unitM: 1, circle: true, radius: 0, width: 0, height: 0 };
  const flags = { withDistance: false, withHash: false, withPlace: false, any: false, storeDistance: false };
  const from = { fromMember: false, fromPlace: false, byRadius: false, byBox: false };
  const searchStore = kind === SEARCH && c.command.name === "geosearchstore";
  const s: Search = { shape, ...flags, ...from, order: 0, count: 0, store: searchStore ? 1 : 0 };
  const first = readMiddle(c, kind, ref, shape);
  if (first === 0) return null;
  for (let i = first; i < c.argc; i++) {
    const more = i + 1 < c.argc;
    if (c.is(i, "withdist")) s.withDistance = true;
    else if (c.is(i, "withhash")) s.withHash = true;
    else if (c.is(i, "withcoord")) s.withPlace = true;
    else if (c.is(i, "any")) s.any = true;
    else if (c.is(i, "asc")) s.order = 1;
    else if (c.is(i, "desc")) s.order = -1;
    else if (more && c.is(i, "count")) {
      s.count = c.wideInteger(++i);
      if (s.count !== s.count) return refuse(c, ERR.notInteger);
      if (s.count <= 0) return refuse(c, COUNT);
    } else if (more && mayStore && kind !== SEARCH && (c.is(i, "store") || c.is(i, "storedist"))) {
      s.storeDistance = c.is(i, "storedist");
      s.store = ++i;
    } else if (searchStore && c.is(i, "storedist")) s.storeDistance = true;
    else {
      const last = kind === SEARCH ? searchOption(c, s, ref, i) : -1;
      if (last === 0) return null;
      if (last < 0) return refuse(c, ERR.syntax);
      i = last;
    }
  }
  return complaint(c, kind, s) ? null : s;
}

/** True when the options do not go together, which is replied. */
function complaint(c: Call, kind: number, s: Search): boolean {
  let text = "";
  if (s.store !== 0 && (s.withDistance || s.withHash || s.withPlace))
    text = `${kind === SEARCH ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS"} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`;
  else if (kind === SEARCH && !s.fromMember && !s.fromPlace)
    text = `exactly one of FROMMEMBER or FROMLONLAT can be specified for ${c.text(0)}`;
  else if (kind === SEARCH && !s.byRadius && !s.byBox) text = `exactly one of BYRADIUS and BYBOX can be specified for ${c.text(0)}`;
  else if (s.any && s.count === 0) {
    c.out.error(ANY);
    return true;
  }
  if (text !== "") c.out.errorText(`ERR ${text}`);
  return text !== "";
}

/** Members found: number i has bytes[starts[i], starts[i + 1]) and four numbers. */
class Found {
  bytes: Buffer = Buffer.alloc(1024);
  starts: number[] = [0];
  scores: number[] = [];
  distances: number[] = [];
  longitudes: number[] = [];
  latitudes: number[] = [];

  get count(): number {
    return this.scores.length;
  }
  add(cursor: ZSetCursor, distanceM: number): void {
    const start = this.starts[this.count];
    const end = start + cursor.end - cursor.start;
    if (end > this.bytes.length) {
      const bigger = Buffer.allocUnsafeSlow(end * 2);
      this.bytes.copy(bigger, 0, 0, start);
      this.bytes = bigger;
    }
    cursor.b.copy(this.bytes, start, cursor.start, cursor.end);
    this.starts.push(end);
    this.scores.push(cursor.score);
    this.distances.push(distanceM);
    this.longitudes.push(geohash.longitude);
    this.latitudes.push(geohash.latitude);
  }
}

const cursor = new ZSetCursor();

/** All members within the shape, or, with ANY, the first `count` that come up. */
function find(ref: number, s: Search): Found {
  const found = new Found();
  const most = s.any ? s.count : Infinity;
  const cells = geohash.cellsFor(s.shape);
  let last = 0;
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i];
    // With a huge radius neighbours may be one and the same cell.
    const before = cells[last];
    if (last > 0 && cell.latitude === before.latitude && cell.longitude === before.longitude) continue;
    if (found.count >= most) break;
    last = i;
    const end = geohash.scoreEnd(cell);
    const rank = zsetCountBelow(ref, geohash.scoreStart(cell), false);
    for (let more = cursor.begin(ref, rank, false); more && cursor.score < end; more = cursor.next()) {
      geohash.decode(cursor.score);
      const d = geohash.distanceWithin(s.shape, geohash.longitude, geohash.latitude);
      if (d >= 0) found.add(cursor, d);
      if (found.count >= most) break;
    }
  }
  return found;
}

function search(c: Call, kind: number, mayStore: boolean): void {
  const ref = zsetToRead(c, c.command.name === "geosearchstore" ? 2 : 1);
  if (ref === NONE) return;
  const s = readSearch(c, kind, ref, mayStore);
  if (s === null) return;
  if (ref === 0) {
    if (s.store === 0) return c.out.array(0);
    if (keyspaceOf(c).delete(c.buf, c.s(s.store), c.e(s.store))) touched(c, s.store, NOTIFY_GENERIC, "del");
    return c.out.int(0);
  }
  if (s.count !== 0 && s.order === 0 && !s.any) s.order = 1;
  const found = find(ref, s);
  const picks = found.scores.map((_, i) => i);
  if (s.order !== 0) picks.sort((i, j) => s.order * (found.distances[i] - found.distances[j]));
  if (s.count !== 0 && picks.length > s.count) picks.length = s.count;
  if (s.store !== 0) store(c, s, found, picks);
  else reply(c, s, found, picks);
}

function reply(c: Call, s: Search, found: Found, picks: number[]): void {
  const { out } = c;
  const extra = Number(s.withDistance) + Number(s.withHash) + Number(s.withPlace);
  out.array(picks.length);
  for (const i of picks) {
    if (extra > 0) out.array(extra + 1);
    out.bulk(found.bytes, found.starts[i], found.starts[i + 1]);
    if (s.withDistance) out.bulkText(fixedText(found.distances[i] / s.shape.unitM, 4));
    if (s.withHash) out.bigint(BigInt(Math.trunc(found.scores[i])));
    if (s.withPlace) replyPlace(c, found.longitudes[i], found.latitudes[i]);
  }
}

function store(c: Call, s: Search, found: Found, picks: number[]): void {
  let result = newLooseZSet();
  if (result === 0) return c.out.error(ERR.oom);
  result = zsetExpect(loose, result, picks.length, 0);
  let longest = 0;
  for (const i of picks) {
    const score = s.storeDistance ? found.distances[i] / s.shape.unitM : found.scores[i];
    longest = Math.max(longest, found.starts[i + 1] - found.starts[i]);
    result = zsetSet(loose, result, score, found.bytes, found.starts[i], found.starts[i + 1]);
    if (zsetChanged >= 0) continue;
    freeLoose(result);
    return c.out.error(ERR.oom);
  }
  result = zsetPackIfSmall(result, longest);
  storeZSet(c, result, c.command.name === "geosearchstore" ? "geosearchstore" : "georadiusstore", s.store);
  if (picks.length > 1) c.dirty += picks.length - 1;
}

export const geoRuns: Record<string, Run> = {
  geoadd,
  geodist,
  geohash: geohashes,
  geopos,
  georadius: (c) => search(c, CIRCLE_AT, true),
  georadius_ro: (c) => search(c, CIRCLE_AT, false),
  georadiusbymember: (c) => search(c, CIRCLE_AROUND, true),
  georadiusbymember_ro: (c) => search(c, CIRCLE_AROUND, false),
  geosearch: (c) => search(c, SEARCH, false),
  geosearchstore: (c) => search(c, SEARCH, false),
};
