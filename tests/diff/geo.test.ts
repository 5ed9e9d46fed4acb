/** GEO commands: the original and ours, reply by reply, in RESP2 and RESP3. Replies that nobody sorts have the original's order too. */
import { describe, expect, test } from "bun:test";
import { Both } from "../support/both.ts";
import { hasRedis } from "../support/programs.ts";
import { random } from "../support/random.ts";

const words = (line: string) => line.split(" ").map((w) => (w === "''" ? "" : w));

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d", (resp) => {
  test("mistakes, options, absent keys and members, scores that are no places", async () => {
    await using both = await Both.start(resp);
    for (const line of ["SET s x", "ZADD odd 1.5 a -7 b 1e300 c 9007199254740993 d inf e -inf f 0 g 4503599627370495 h"])
      await both.do(...words(line));
    for (const line of [
      "GEOADD p 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
      "GEOADD p NX 0 0 Palermo 1 1 One",
      "GEOADD p XX CH 2 2 One 3 3 None",
      "GEOADD p XX NX 2 2 One",
      "GEOADD p 181 0 x",
      "GEOADD p 0 86 x",
      "GEOADD p x 0 x",
      "GEOADD p 0 x x",
      "GEOADD p inf 0 x",
      "GEOADD p 0 0",
      "GEOADD p 0 0 x 1",
      "GEOADD s 0 0 x",
      "GEOADD edge 180 85.05112878 ne -180 -85.05112878 sw 180 -85.05112878 se -180 85.05112878 nw 0 0 zero",
      "ZRANGE edge 0 -1 WITHSCORES",
      "ZRANGE p 0 -1 WITHSCORES",
      "GEOPOS p Palermo none Catania",
      "GEOPOS none Palermo",
      "GEOPOS p",
      "GEOPOS s a",
      "GEOPOS edge ne sw se nw zero",
      "GEOPOS odd a b c d e f g h",
      "GEOHASH p Palermo none Catania",
      "GEOHASH edge ne sw se nw zero",
      "GEOHASH none a",
      "GEOHASH p",
      "GEODIST p Palermo Catania",
      "GEODIST p Palermo Catania km",
      "GEODIST p Palermo Catania MI",
      "GEODIST p Palermo Catania FT",
      "GEODIST p Palermo Catania yd",
      "GEODIST p Palermo Catania m m",
      "GEODIST p Palermo Palermo",
      "GEODIST p Palermo none",
      "GEODIST none a b",
      "GEODIST s a b",
      "GEORADIUS p 15 37 200 km WITHDIST",
      "GEORADIUS p 15 37 200 km WITHCOORD",
      "GEORADIUS p 15 37 200 km WITHHASH WITHDIST WITHCOORD DESC",
      "GEORADIUS p 15 37 x km",
      "GEORADIUS p 15 37 -1 km",
      "GEORADIUS p 15 37 1 yd",
      "GEORADIUS p 15 x 1 km",
      "GEORADIUS p 200 0 1 km",
      "GEORADIUS p 15 37 200 km COUNT 1",
      "GEORADIUS p 15 37 200 km COUNT 0",
      "GEORADIUS p 15 37 200 km COUNT x",
      "GEORADIUS p 15 37 200 km COUNT",
      "GEORADIUS p 15 37 200 km ANY",
      "GEORADIUS p 15 37 200 km COUNT 1 ANY",
      "GEORADIUS p 15 37 200 km BAD",
      "GEORADIUS p 15 37 200 km STORE to",
      "ZRANGE to 0 -1 WITHSCORES",
      "GEORADIUS p 15 37 200 km STORE to WITHDIST",
      "GEORADIUS p 15 37 200 km STOREDIST to",
      "ZCARD to",
      "GEORADIUS none 15 37 200 km STORE to",
      "EXISTS to",
      "GEORADIUS_RO p 15 37 200 km STORE to",
      "GEORADIUS none 15 37 200 km",
      "GEORADIUS s 15 37 200 km",
      "GEORADIUSBYMEMBER p Palermo 200 km",
      "GEORADIUSBYMEMBER p none 200 km",
      "GEORADIUSBYMEMBER none none x yd",
      "GEORADIUSBYMEMBER_RO p Palermo 200 km STORE to",
      "GEOSEARCH p FROMMEMBER Palermo BYRADIUS 200 km ASC WITHDIST",
      "GEOSEARCH p FROMLONLAT 15 37 BYBOX 400 400 km DESC",
      "GEOSEARCH p FROMLONLAT 15 37 BYBOX 400 x km",
      "GEOSEARCH p FROMLONLAT 15 37 BYBOX x 400 km",
      "GEOSEARCH p FROMLONLAT 15 37 BYBOX 400 -1 km",
      "GEOSEARCH p FROMLONLAT 15 37 BYBOX 400 400 km BYRADIUS 1 km",
      "GEOSEARCH p FROMLONLAT 15 37 FROMMEMBER Palermo BYRADIUS 1 km",
      "GEOSEARCH p FROMMEMBER none BYRADIUS 1 km",
      "GEOSEARCH p FROMMEMBER Palermo ASC DESC ASC",
      "GEOSEARCH p BYRADIUS 200 km ASC DESC",
      "geosearch p FROMLONLAT 15 37 ASC WITHDIST",
      "GEOSEARCH none FROMMEMBER none BYRADIUS 1 km",
      "GEOSEARCH p FROMMEMBER Palermo BYRADIUS 200 km STOREDIST",
      "GEOSEARCH p FROMMEMBER Palermo BYRADIUS 200 km COUNT 5 ANY",
      "GEOSEARCHSTORE to p FROMMEMBER Palermo BYRADIUS 200 km",
      "ZRANGE to 0 -1",
      "GEOSEARCHSTORE to p FROMMEMBER Palermo BYRADIUS 200 km WITHDIST",
      "GEOSEARCHSTORE to p FROMMEMBER Palermo BYBOX 1 1 m",
      "GEOSEARCHSTORE to p FROMLONLAT 100 0 BYBOX 1 1 m",
      "EXISTS to",
      "GEOSEARCH edge FROMLONLAT 179.9 85 BYRADIUS 100 km",
      "GEOSEARCH edge FROMMEMBER zero BYRADIUS 0 m",
      "GEOSEARCH edge FROMMEMBER zero BYBOX 0 0 m",
    ])
      await both.do(...words(line));
  });

  test("random places and searches of all sizes", async () => {
    await using both = await Both.start(resp);
    const next = random(2024 + resp);
    const place = () => [(next(3600000) - 1800000) / 10000, (next(1700000) - 850000) / 10000];
    for (const [key, count] of [
      ["few", 60],
      ["many", 1500],
    ] as const) {
      for (let i = 0; i < count; i++) {
        const [longitude, latitude] = i % 3 === 0 ? [10 + next(1000) / 1000, 45 + next(1000) / 1000] : place();
        await both.do("GEOADD", key, longitude, latitude, `place:${i}`);
      }
      for (let i = 0; i < 150; i++) {
        const [longitude, latitude] = next(2) === 0 ? [10.5, 45.5] : place();
        const radius = [0, 1, 50, 300, 2000, 6000, 15000][next(7)];
        const by = next(2) === 0 ? ["BYRADIUS", radius, "km"] : ["BYBOX", radius, [1, 100, 3000][next(3)], "km"];
        const more = [[], ["ASC"], ["DESC"], ["COUNT", 5], ["COUNT", 3, "ANY"]][next(5)];
        await both.do("GEOSEARCH", key, "FROMLONLAT", longitude, latitude, ...by, ...more);
        if (i % 10 === 0) await both.do("GEOSEARCH", key, "FROMLONLAT", longitude, latitude, ...by, "ASC", "WITHHASH", "WITHCOORD");
      }
      for (let i = 0; i < 20; i++) {
        const member = () => `place:${next(count)}`;
        await both.do("GEOHASH", key, member(), member());
        await both.do("GEOPOS", key, member(), member());
        await both.do("GEODIST", key, member(), member(), "km");
        await both.do("GEORADIUSBYMEMBER", key, member(), 500 * i, "km", "WITHDIST", "ASC");
        await both.do("GEOSEARCHSTORE", "to", key, "FROMMEMBER", member(), "BYRADIUS", 700 * i, "mi", "COUNT", 40);
        await both.do("ZRANGE", "to", 0, -1);
        await both.do("OBJECT", "ENCODING", "to");
      }
    }
    expect(await both.do("ZCARD", "many")).toBe("(1500)");
  });
});
