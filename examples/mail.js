// Counts the alarms of each sender, and tells of every tenth.
//
// The mail is HSYCO's JSON: from, to, subject, date, contenttype, returnpath, all other header fields, body.

function IOEvent(name, value) {
  const mail = JSON.parse(value)
  if (!/alarm|motion/i.test(mail.subject)) return

  const sender = mail.from.replace(/.*<(.*)>.*/, "$1")
  const count = Number(varGet("alarms " + sender)) + 1
  varSet("alarms " + sender, count)                  // other scripts can read it
  messageLog(sender + ": " + mail.subject)
  if (count % 10 == 0) errorLog(sender + " has raised " + count + " alarms")
}
