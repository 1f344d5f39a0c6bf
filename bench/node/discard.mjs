// nodemailer's smtp-server, throwing mail away. Argument: the port. At its end it prints how many it took.
import { SMTPServer } from "smtp-server";

let taken = 0;
const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ["AUTH", "STARTTLS"],
  disableReverseLookup: true,
  logger: false,
  onData(stream, session, done) {
    stream.on("end", () => {
      taken += 1;
      done();
    });
    stream.resume();
  },
});
process.on("SIGTERM", () => {
  console.log(taken);
  process.exit(0);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
