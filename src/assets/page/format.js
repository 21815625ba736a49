// How numbers and times are written. What was not measured is a dash, never 0.

export const { NONE, clock, count, millis } = Charts;
const { fixed, known } = Charts;

/** Events per second: `40,000/s`. */
export const rate = (perSecond) => Charts.written("rate", perSecond);

/** Milliseconds with their unit, of which the smallest keep two digits: `0.0051 ms`. */
export const fineMillis = (ms) => Charts.written("ms", ms);

/** Bytes in binary units: `123.4 MiB`. */
export function bytes(n) {
  if (!known(n)) return NONE;
  const [unit, name] = n < 2 ** 20 ? [2 ** 10, "KiB"] : n < 2 ** 30 ? [2 ** 20, "MiB"] : [2 ** 30, "GiB"];
  return `${fixed[1].format(n / unit)} ${name}`;
}

/** A share of one processor core: `37 %`. */
export const percent = (share) => (known(share) ? `${fixed[share < 0.0995 ? 1 : 0].format(share * 100)} %` : NONE);

/** A length of time: `3.2 s`, `1:05 min`, `2:03:04 h`, `3 d 4 h`. */
export function span(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 60) return `${Number.isInteger(seconds) ? seconds : fixed[1].format(seconds)} s`;
  const s = Math.round(seconds);
  if (s < 3600) return `${clock(s)} min`;
  if (s < 48 * 3600) return `${clock(s)} h`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function parts(time) {
  const date = time === null || time === undefined || time === "" ? null : new Date(time);
  return date === null || Number.isNaN(date.getTime()) ? null : date;
}

const pad = (n, width = 2) => String(n).padStart(width, "0");

/** The local time of day: `14:03:22`. */
export function timeOfDay(time, withMillis = false) {
  const date = parts(time);
  if (date === null) return NONE;
  const seconds = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return withMillis ? `${seconds}.${pad(date.getMilliseconds(), 3)}` : seconds;
}

/** Local date and time, the most significant part first: `2026-11-24 14:03:22`. */
export function dateTime(time) {
  const date = parts(time);
  if (date === null) return NONE;
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${timeOfDay(time)}`;
}

/** The same in UTC, for titles. */
export const utc = (time) => parts(time)?.toISOString() ?? "";

/** `1 run`, `2 runs`. */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
