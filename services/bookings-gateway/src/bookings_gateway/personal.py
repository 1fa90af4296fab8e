"""What the columns of a legacy table tell of. Pure: names only.

Names are compared without case and punctuation: ``medicalNotes``, ``medicalnotes`` and ``medical_notes`` are one.
"""

import re
from collections.abc import Mapping

from bookings_gateway.domain import Layout

_PUNCTUATION = re.compile(r"[\W_]+")
# Types that can hold what somebody wrote; a list of one can, too.
_FREE = frozenset(["text", "character varying", "character", "citext", "json", "jsonb", "hstore", "xml", "bytea"])


def folded(column: str) -> str:
    """Return a column's name as names are compared."""
    return _PUNCTUATION.sub("", column).casefold()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Beside the contact: emptied when the customer is erased.
_PERSONAL = _words(
    """
    participant participants participantdetails participantnames participantlist attendee attendees
    attendeedetails attendeenames delegate delegates delegatedetails delegatenames guest guests guestdetails
    guestname guestnames student students passengers children child childname childnames parentname guardian
    guardianname guardiandetails notes note comments comment remarks remark message messages customernotes
    customermessage customercomments internalnotes adminnotes staffnotes bookingnotes publicnotes privatenotes
    additionalnotes additionalinfo additionalinformation furtherinformation specialrequirements
    specialrequirement specialrequests specialrequest specialneeds requirements requests dietary
    dietaryrequirements dietaryneeds dietarynotes dietaryrestrictions dietarypreferences diet allergies allergy
    medical medicalnotes medicalinfo medicalinformation medicalconditions medicaldetails medicalhistory
    healthnotes healthinformation healthconditions healthdeclaration disability disabilities accessibility
    accessibilityneeds accessibilityrequirements accessneeds accessrequirements learningneeds
    learningdifficulties emergencycontact emergencycontacts emergencycontactname emergencycontactphone
    emergencycontactdetails emergencyphone nextofkin dateofbirth birthdate birthday birthyear dob age gender sex
    pronouns ethnicity religion nationality nationalinsurance nationalinsurancenumber ninumber nino passport
    passportnumber drivinglicence drivinglicense drivinglicencenumber idnumber idcardnumber photo photourl
    signature address addresses addressline addressline1 addressline2 addressline3 address1 address2 address3
    homeaddress postaladdress customeraddress contactaddress deliveryaddress shippingaddress billing
    billingaddress billingdetails billingname billingemail billingphone billingpostcode billingcontact street
    streetaddress city town county postcode postalcode zip zipcode invoicedetails invoiceaddress invoicename
    invoiceemail invoicecontact contact contactdetails contactinfo contactname contactfirstname contactlastname
    contactemail contactphone contactmobile contactcompany customer customerdetails customerinfo customername
    customerfirstname customerlastname customeremail customerphone customermobile customercompany useremail
    username userphone userdetails bookername bookeremail bookerphone bookedbyname bookedbyemail bookedbyphone
    firstname lastname middlename surname forename fullname salutation email emailaddress phone phonenumber
    telephone tel mobile mobilenumber mobilephone whatsapp company companyname organisation organization
    employer jobtitle occupation ipaddress ip useragent cardholder cardholdername bankdetails bankaccount iban
    sortcode accountnumber accountname
    """
)
# As numbers these count people or point to them.
_COUNTED = _words(
    """
    participant participants attendee attendees delegate delegates guest guests student students passengers
    children child customer contact company organisation organization employer
    """
)
_NUMBERS = frozenset(["smallint", "integer", "bigint", "numeric"])
# What a booking is of, not who: never emptied, and nothing to ask about.
_HARMLESS = _words(
    """
    id uuid bookingid bookingreference bookingnumber reference confirmationcode status bookingstatus bookingtype
    type kind courseid coursename coursetitle coursetype coursecode coursescheduleid coursesessionid scheduleid
    sessionid sessiondate sessiontime eventid eventname venue venueid venuename location locationid locationname
    instructorid currency paymentstatus paymentmethod paymentreference paymentintentid paymentprovider
    stripepaymentintentid stripesessionid stripecheckoutsessionid stripechargeid stripecustomerid invoiceid
    invoicenumber invoicestatus ponumber purchaseordernumber discountcode promocode couponcode vouchercode
    discounttype pricetier tickettype source channel campaign utmsource utmmedium utmcampaign language locale
    timezone environment version userid customerid createdbyid updatedbyid refundid refundstatus
    attendancestatus certificatestatus
    """
)


def personal_columns(columns: Mapping[str, str], layout: Layout) -> list[str]:
    """Return which columns (name → type) tell of people: the contact's, those known, those the layout declares.

    What the layout maps to anything else is that, whatever it is called, and a declared harmless column is harmless.
    """
    contact = {layout.contact, *layout.contact_columns.values()}
    declared = set(map(folded, layout.personal))
    harmless = set(map(folded, layout.harmless))
    others = _mapped(layout) - contact

    def tells(column: str, type_: str) -> bool:
        name = folded(column)
        counts = type_ in _NUMBERS and name in _COUNTED
        return (
            column not in others and name not in harmless and (name in declared or (name in _PERSONAL and not counts))
        )

    return [column for column, type_ in columns.items() if column in contact or tells(column, type_)]


def undecided_columns(columns: Mapping[str, str], layout: Layout) -> list[str]:
    """Return the columns that could hold anything somebody wrote and of which nothing is known; a person decides."""
    decided = {*_mapped(layout), *personal_columns(columns, layout)}
    harmless = _HARMLESS | set(map(folded, layout.harmless))
    return [
        column
        for column, type_ in columns.items()
        if type_.removesuffix("[]") in _FREE and column not in decided and folded(column) not in harmless
    ]


def _mapped(layout: Layout) -> set[str | None]:
    return {*layout.columns.values(), layout.user_id}
