// Where axes have their ticks, and how figures and moments are written at them. Pure.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const SPANS = [1, 10, 100, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, 2 * DAY, 20 * DAY, 200 * DAY];

// 1, 2 or 5 times a power of ten, not under `least`.
export function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= least * 0.999999);
}

// Ticks from 0 to `most` or just past it; at least one above 0.
export function valueTicks(most, step) {
  const ticks = [];
  for (let number = 0; number === 0 || ticks.at(-1) < most * 0.999999; number++) ticks.push(number * step);
  return ticks;
}

export const countTicks = (most, lines) => valueTicks(most, Math.max(1, roundStep(most / lines || 1)));
export const moneyTicks = (most, lines) => valueTicks(most, roundStep(most / lines || 1));

// Lengths of time that people know, each some ten times the one before, around those between two.
export function spanTicks(least, most) {
  const from = SPANS.findLastIndex((span) => span <= least);
  const to = SPANS.findIndex((span) => span >= most);
  return SPANS.slice(Math.max(from, 0), to < 0 ? undefined : Math.max(to, from + 1) + 1);
}

const figures = (number) => String(Number(number.toPrecision(number < 10 ? 2 : 3)));

// "950", "12.3k", "4.56M", "1.2G"
export function amount(number) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= size * 0.9995) return `${Number((number / size).toPrecision(3))}${unit}`;
  }
  return String(Math.round(number));
}

// "$0", "$0.05", "$20": at an axis
export const dollarTick = (number) => `$${Number(number.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 })}`;

// "$0", "$0.0071", "$2.40", "$1,204"
export function dollars(number) {
  if (number === 0) return "$0";
  if (number < 0.1) return `$${Number(number.toPrecision(2))}`;
  return number < 1000 ? `$${number.toFixed(2)}` : `$${Math.round(number).toLocaleString("en")}`;
}

// "830 ms", "1.3 s", "12 s", "2.5 min", "3 h"
export function span(milliseconds) {
  if (milliseconds === 0) return "0 s";
  if (milliseconds < SECOND) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < MINUTE) return `${figures(milliseconds / SECOND)} s`;
  if (milliseconds < HOUR) return `${figures(milliseconds / MINUTE)} min`;
  if (milliseconds < 2 * DAY) return `${figures(milliseconds / HOUR)} h`;
  return `${figures(milliseconds / DAY)} d`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

// Round moments between two, by this browser's clock: [{at, text, day}]; `day`: it is a midnight.
export function timeTicks(start, end, most) {
  const hours = [1, 2, 3, 6, 12].find((step) => (end - start) / (step * HOUR) <= most);
  if (hours) return clockTicks(start, end, hours);
  const days = [1, 2, 3, 5, 7, 10, 15].find((step) => (end - start) / (step * DAY) <= most) ?? 30;
  const at = new Date(start);
  at.setHours(24, 0, 0, 0);
  const ticks = [];
  for (; at < end; at.setDate(at.getDate() + days)) {
    ticks.push({ at: at.getTime(), text: ((end - start) / DAY > 8 ? date : weekday).format(at), day: true });
  }
  return ticks;
}

function clockTicks(start, end, hours) {
  const at = new Date(start);
  at.setMinutes(60, 0, 0);
  const ticks = [];
  for (; at < end; at.setTime(at.getTime() + HOUR)) {
    if (at.getHours() % hours) continue;
    const day = at.getHours() === 0;
    ticks.push({ at: at.getTime(), text: (day ? weekday : clock).format(at), day });
  }
  return ticks;
}

// "Mon 23 Nov, 14:00 to 15:00", or the day alone where it is a day of this browser's.
export function stretch(start, end) {
  const [from, to] = [new Date(start), new Date(end)];
  const whole = clock.format(from) === "00:00" && clock.format(to) === "00:00";
  if (whole) return full.format(from);
  const same = from.toDateString() === new Date(to - 1).toDateString();
  return `${full.format(from)}, ${clock.format(from)} to ${same ? "" : `${full.format(to)}, `}${clock.format(to)}`;
}
