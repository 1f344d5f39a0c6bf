// Send the message on standard input; the first argument is JSON: {transport, envelope}.
import { buffer } from "node:stream/consumers";
import nodemailer from "nodemailer";

const { transport, envelope } = JSON.parse(process.argv[2]);
const mailer = nodemailer.createTransport(transport);
const info = await mailer.sendMail({ envelope, raw: await buffer(process.stdin) });
console.log(info.response);
mailer.close();
