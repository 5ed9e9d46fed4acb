/**
 * Geohashes as Redis keeps them in sorted sets: longitude and latitude as 26-bit cells each, their bits interleaved into a 52-bit number that a
 * double holds exactly. Pure; the boxes that cover a search, and distances on the sphere. Redis geohash.c, geohash_helper.c.
 */

export const LONGITUDE_MAX = 180;
export const LATITUDE_MAX = 85.05112878;
/** Bits of either coordinate in a score. */
export const STEP_MAX = 26;
const EARTH_RADIUS_M = 6372797.560856;
const MERCATOR_MAX = 20037726.37;
const RADIAN = Math.PI / 180;

/** A cell: `step` bits of latitude and of longitude. */
export interface Cell {
  latitude: number;
  longitude: number;
  step: number;
}

/** The lower 14 bits of x, each followed by a zero bit. */
function spread(x: number): number {
  x = (x | (x << 8)) & 0x00ff00ff;
  x = (x | (x << 4)) & 0x0f0f0f0f;
  x = (x | (x << 2)) & 0x33333333;
  return (x | (x << 1)) & 0x55555555;
}

/** The even bits of x, gathered. */
function gather(x: number): number {
  x &= 0x55555555;
  x = (x | (x >>> 1)) & 0x33333333;
  x = (x | (x >>> 2)) & 0x0f0f0f0f;
  x = (x | (x >>> 4)) & 0x00ff00ff;
  return (x | (x >>> 8)) & 0xffff;
}

/** Latitude in the even bits, longitude in the odd ones. */
export function interleave(latitude: number, longitude: number): number {
  const low = spread(latitude & 0x1fff) | (spread(longitude & 0x1fff) << 1);
  const high = spread(latitude >>> 13) | (spread(longitude >>> 13) << 1);
  return high * 67108864 + low;
}

/** The cell of a place within these limits; it must lie within them. */
export function cellOf(longitude: number, latitude: number, step: number, latitudeMax = LATITUDE_MAX): Cell {
  return {
    latitude: Math.floor(((latitude + latitudeMax) / (latitudeMax + latitudeMax)) * 2 ** step),
    longitude: Math.floor(((longitude + LONGITUDE_MAX) / (LONGITUDE_MAX + LONGITUDE_MAX)) * 2 ** step),
    step,
  };
}

/** The score of a place. */
export function scoreOf(longitude: number, latitude: number): number {
  const cell = cellOf(longitude, latitude, STEP_MAX);
  return interleave(cell.latitude, cell.longitude);
}

interface Area {
  longitudeMin: number;
  longitudeMax: number;
  latitudeMin: number;
  latitudeMax: number;
}

function areaOf(cell: Cell): Area {
  const cells = 2 ** cell.step;
  const latitudes = LATITUDE_MAX + LATITUDE_MAX;
  const longitudes = LONGITUDE_MAX + LONGITUDE_MAX;
  return {
    latitudeMin: -LATITUDE_MAX + (cell.latitude / cells) * latitudes,
    latitudeMax: -LATITUDE_MAX + ((cell.latitude + 1) / cells) * latitudes,
    longitudeMin: -LONGITUDE_MAX + (cell.longitude / cells) * longitudes,
    longitudeMax: -LONGITUDE_MAX + ((cell.longitude + 1) / cells) * longitudes,
  };
}

/** The place that `decode` found: the middle of the score's cell. */
export let longitude = 0;
export let latitude = 0;

const clip = (v: number, max: number): number => (v > max ? max : v < -max ? -max : v);

/** Sets `longitude` and `latitude` to the place of a score. */
export function decode(score: number): void {
  let lat: number;
  let lon: number;
  if (score >= 0 && score < 4503599627370496) {
    const whole = Math.floor(score);
    const low = whole % 67108864;
    const high = Math.floor(whole / 67108864);
    lat = gather(low) + gather(high) * 8192;
    lon = gather(low >>> 1) + gather(high >>> 1) * 8192;
  } else {
    // A score that was never a place: what C makes of it on the usual machines, 32 bits of either.
    let bits = 0n;
    if (score < -(2 ** 63)) bits = 1n << 63n;
    else if (score < 2 ** 64) bits = BigInt.asUintN(64, BigInt(Math.trunc(score)));
    lat = lon = 0;
    for (let i = 0; i < 32; i++, bits >>= 2n) {
      if (bits & 1n) lat += 2 ** i;
      if (bits & 2n) lon += 2 ** i;
    }
  }
  const area = areaOf({ latitude: lat, longitude: lon, step: STEP_MAX });
  longitude = clip((area.longitudeMin + area.longitudeMax) / 2, LONGITUDE_MAX);
  latitude = clip((area.latitudeMin + area.latitudeMax) / 2, LATITUDE_MAX);
}

const ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz";

/** The eleven characters that the rest of the world calls a geohash; the last one is always 0, there are no bits for it. */
export function geohashText(atLongitude: number, atLatitude: number): string {
  const cell = cellOf(atLongitude, atLatitude, STEP_MAX, 90);
  let bits = interleave(cell.latitude, cell.longitude);
  // 52 bits: two too many for ten characters of five.
  bits = Math.floor(bits / 4);
  let text = "";
  for (let i = 0; i < 10; i++, bits = Math.floor(bits / 32)) text = ALPHABET[bits % 32] + text;
  return `${text}0`;
}

// ------------------------------------------------------------------------------------------------------------------ distances

/** Metres between two latitudes of one meridian. */
function latitudeDistance(latitude1: number, latitude2: number): number {
  return EARTH_RADIUS_M * Math.abs(latitude2 * RADIAN - latitude1 * RADIAN);
}

/** Metres between two places (haversine). */
export function distance(longitude1: number, latitude1: number, longitude2: number, latitude2: number): number {
  const v = Math.sin((longitude2 * RADIAN - longitude1 * RADIAN) / 2);
  if (v === 0) return latitudeDistance(latitude1, latitude2);
  const lat1 = latitude1 * RADIAN;
  const lat2 = latitude2 * RADIAN;
  const u = Math.sin((lat2 - lat1) / 2);
  const a = u * u + Math.cos(lat1) * Math.cos(lat2) * v * v;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(a));
}

/** What is searched: a circle of `radius`, or a rectangle of width and height, around a place; lengths in units of `unitM` metres. */
export interface Shape {
  longitude: number;
  latitude: number;
  unitM: number;
  circle: boolean;
  radius: number;
  width: number;
  height: number;
}

/** Metres from the shape's middle to a place, -1 when it lies outside. */
export function distanceWithin(shape: Shape, atLongitude: number, atLatitude: number): number {
  if (shape.circle) {
    const d = distance(shape.longitude, shape.latitude, atLongitude, atLatitude);
    return d > shape.radius * shape.unitM ? -1 : d;
  }
  if (latitudeDistance(atLatitude, shape.latitude) > (shape.height * shape.unitM) / 2) return -1;
  if (distance(atLongitude, atLatitude, shape.longitude, atLatitude) > (shape.width * shape.unitM) / 2) return -1;
  return distance(shape.longitude, shape.latitude, atLongitude, atLatitude);
}

// ------------------------------------------------------------------------------------------------------------------ boxes

/** The step whose nine cells around a place cover that radius. Redis geohashEstimateStepsByRadius. */
function stepFor(radiusM: number, atLatitude: number): number {
  if (radiusM === 0) return STEP_MAX;
  let step = 1;
  while (radiusM < MERCATOR_MAX) {
    radiusM *= 2;
    step++;
  }
  step -= 2;
  // Cells are narrower towards the poles.
  if (atLatitude > 66 || atLatitude < -66) {
    step--;
    if (atLatitude > 80 || atLatitude < -80) step--;
  }
  return Math.min(Math.max(step, 1), STEP_MAX);
}

function boundsOf(shape: Shape): Area {
  const height = shape.unitM * (shape.circle ? shape.radius : shape.height / 2);
  const width = shape.unitM * (shape.circle ? shape.radius : shape.width / 2);
  const up = height / EARTH_RADIUS_M / RADIAN;
  // The edge nearer to the pole is the wider one in degrees.
  const edge = shape.latitude < 0 ? shape.latitude - up : shape.latitude + up;
  const across = width / EARTH_RADIUS_M / Math.cos(edge * RADIAN) / RADIAN;
  return {
    longitudeMin: shape.longitude - across,
    longitudeMax: shape.longitude + across,
    latitudeMin: shape.latitude - up,
    latitudeMax: shape.latitude + up,
  };
}

function moved(cell: Cell, east: number, north: number): Cell {
  const cells = 2 ** cell.step;
  return {
    latitude: north === 0 ? cell.latitude : (cell.latitude + north + cells) % cells,
    longitude: east === 0 ? cell.longitude : (cell.longitude + east + cells) % cells,
    step: cell.step,
  };
}

/** Directions in Redis' order: the order of replies that nobody sorts. */
const AROUND = [
  [0, 1],
  [0, -1],
  [1, 0],
  [-1, 0],
  [1, 1],
  [-1, 1],
  [1, -1],
  [-1, -1],
];

/** The cells to look through for a shape, in Redis' order, without those that lie outside. Redis geohashCalculateAreasByShapeWGS84. */
export function cellsFor(shape: Shape): Cell[] {
  const bounds = boundsOf(shape);
  const radius = shape.circle ? shape.radius : Math.sqrt((shape.width / 2) * (shape.width / 2) + (shape.height / 2) * (shape.height / 2));
  let step = stepFor(radius * shape.unitM, shape.latitude);
  let cell = cellOf(shape.longitude, shape.latitude, step);
  const tooNear =
    areaOf(moved(cell, 0, 1)).latitudeMax < bounds.latitudeMax ||
    areaOf(moved(cell, 0, -1)).latitudeMin > bounds.latitudeMin ||
    areaOf(moved(cell, 1, 0)).longitudeMax < bounds.longitudeMax ||
    areaOf(moved(cell, -1, 0)).longitudeMin > bounds.longitudeMin;
  if (step > 1 && tooNear) cell = cellOf(shape.longitude, shape.latitude, --step);
  const area = areaOf(cell);
  const cells = [cell];
  for (const [east, north] of AROUND) {
    if (step >= 2) {
      if (north < 0 && area.latitudeMin < bounds.latitudeMin) continue;
      if (north > 0 && area.latitudeMax > bounds.latitudeMax) continue;
      if (east < 0 && area.longitudeMin < bounds.longitudeMin) continue;
      if (east > 0 && area.longitudeMax > bounds.longitudeMax) continue;
    }
    cells.push(moved(cell, east, north));
  }
  return cells;
}

/** Scores of a cell's places: from this on, below `scoreEnd`. */
export function scoreStart(cell: Cell): number {
  return interleave(cell.latitude, cell.longitude) * 2 ** (2 * (STEP_MAX - cell.step));
}
export function scoreEnd(cell: Cell): number {
  return (interleave(cell.latitude, cell.longitude) + 1) * 2 ** (2 * (STEP_MAX - cell.step));
}
