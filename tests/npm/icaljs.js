// Reads iCalendar texts (a JSON array of strings) with ical.js and prints, of each, its busy periods and its events.
const ICAL = require("ical.js").default ?? require("ical.js");

const seconds = (time) => {
  if (time.zone !== ICAL.Timezone.utcTimezone) throw new Error("not in UTC");
  return time.toUnixTime();
};

const periods = (calendar) =>
  calendar
    .getAllSubcomponents("vfreebusy")
    .flatMap((component) => component.getAllProperties("freebusy"))
    .flatMap((property) =>
      property.getValues().map((period) => [property.getParameter("fbtype"), seconds(period.start), seconds(period.getEnd())]),
    );

const events = (calendar) =>
  calendar
    .getAllSubcomponents("vevent")
    .map((component) => [
      component.getFirstPropertyValue("x-microsoft-cdo-busystatus"),
      seconds(component.getFirstPropertyValue("dtstart")),
      seconds(component.getFirstPropertyValue("dtend")),
    ]);

let text = "";
process.stdin.on("data", (piece) => (text += piece));
process.stdin.on("end", () => {
  const found = JSON.parse(text).map((each) => {
    const calendar = new ICAL.Component(ICAL.parse(each));
    return { periods: periods(calendar), events: events(calendar) };
  });
  process.stdout.write(JSON.stringify(found));
});
