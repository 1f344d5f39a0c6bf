"""Logs what a camera has seen. `on_mail` gets the full event; docs/event.schema.json has its fields."""

from collections import Counter

seen = Counter()


def on_mail(event):
    camera = event["envelope"]["rcpt_to"][0].partition("@")[0]
    images = [file for file in event["attachments"] if (file["detected_type"] or "").startswith("image/")]
    seen[camera] += 1
    messageLog(f"{camera}: {event['subject']}, {len(images)} images, {seen[camera]} mails so far")
    if event["defects"]:
        errorLog(f"{camera}: {'; '.join(event['defects'])}")


def haActiveEvent(active):
    print("this node is", "active" if active else "inactive")
